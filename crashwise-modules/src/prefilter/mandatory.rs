//! The literals without which a regex cannot match.

use std::collections::BTreeMap;

use regex_syntax::hir::{Class, Hir, HirKind, Repetition};

use super::Case;
use super::before::Before;
use super::frequency::rarest_window;

/// The most literals one regex may ask for; a regex that needs more has none.
const MAX_LITERALS: usize = 48;
/// The most literals kept while pieces next to each other are joined.
const MAX_JOINED: usize = 24;
/// How much cheaper a literal behind another must be where early ones are preferred: 16 times as rare.
const EARLIER: u32 = 64;
/// The longest literal; more bytes would not make it rarer.
const MAX_LENGTH: usize = 32;
/// The most bytes a class may hold to count as alternatives.
const MAX_CLASS: usize = 4;

/// A literal that a match may contain.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MandatoryLiteral {
    /// Two bytes or more.
    pub bytes: Vec<u8>,
    /// Whether letters match in both cases.
    pub case: Case,
    /// What may stand before it in a match.
    pub before: Before,
}

/// The set of literals of which every match of `pattern` contains at least one, the rarest such set by the
/// frequency of bytes in source text; `None` where there is none, or where the pattern is not valid.
///
/// The pattern is read as bytes with ASCII classes, and as Unicode where it is not valid so; for a regex compiled in
/// another way use [`literals_of_hir`].
///
/// ```
/// use crashwise_modules::prefilter::{Case, mandatory_literals};
///
/// let literals = mandatory_literals(r"(?i)[\w.-]{0,20}zendesk\s*=\s*([a-z0-9]{40})").unwrap();
/// assert_eq!((literals[0].bytes.as_slice(), literals[0].case), (b"zendesk".as_slice(), Case::Insensitive));
/// assert_eq!(mandatory_literals("[0-9a-f]{32}"), None);
/// ```
pub fn mandatory_literals(pattern: &str) -> Option<Vec<MandatoryLiteral>> {
    let parse =
        |unicode| regex_syntax::ParserBuilder::new().unicode(unicode).utf8(false).build().parse(pattern).ok();
    literals_of_hir(&parse(false).or_else(|| parse(true))?, Prefer::Rare)
}

/// Which set of literals is taken where a regex has several.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prefer {
    /// The rarest.
    Rare,
    /// The first that is not far more common than the rarest: more of a match is behind it, where [`tail_of_hir`] sees it.
    Early,
}

impl Prefer {
    /// How much cheaper a set must be to be taken instead of one before it.
    fn margin(self) -> u32 {
        match self {
            Self::Rare => 0,
            Self::Early => EARLIER,
        }
    }
}

/// As [`mandatory_literals`], for a pattern that is parsed already.
pub fn literals_of_hir(hir: &Hir, prefer: Prefer) -> Option<Vec<MandatoryLiteral>> {
    let best = best(hir, prefer)?;
    let mut literals = BTreeMap::<_, Before>::new();
    for placed in &best {
        let before = &placed.before;
        literals.entry(literal(&placed.piece)).and_modify(|known| known.or(before)).or_insert(*before);
    }
    Some(without_longer(literals))
}

/// Without literals that begin with another one of them: where they stand, the other stands as well. In the order of their
/// bytes those that begin with a literal come behind it.
fn without_longer(literals: BTreeMap<(Vec<u8>, Case), Before>) -> Vec<MandatoryLiteral> {
    let mut kept: Vec<MandatoryLiteral> = Vec::new();
    for ((bytes, case), before) in literals {
        match kept.iter_mut().find(|shorter| shorter.case == case && bytes.starts_with(&shorter.bytes)) {
            Some(shorter) => shorter.before.or(&before),
            None => kept.push(MandatoryLiteral { bytes, case, before }),
        }
    }
    kept
}

/// What every match is from its mandatory literal on, whichever of them that is, and perhaps more; `None` where there is no
/// such literal.
pub fn tail_of_hir(hir: &Hir, prefer: Prefer) -> Option<Hir> {
    tail(hir, best(hir, prefer)?.first()?.origin, prefer)
}

fn tail(hir: &Hir, origin: Origin, prefer: Prefer) -> Option<Hir> {
    let within = |part: &Hir, set: Option<Vec<Placed>>| tail(part, set?.first()?.origin, prefer);
    Some(match (hir.kind(), origin) {
        (_, Origin::Start) => hir.clone(),
        (HirKind::Capture(capture), _) => tail(&capture.sub, origin, prefer)?,
        (HirKind::Concat(parts), Origin::Part(number)) => Hir::concat(parts[number..].to_vec()),
        (HirKind::Concat(parts), Origin::Within(number)) => {
            let part = within(&parts[number], walk(&parts[number], prefer).best)?;
            Hir::concat(std::iter::once(part).chain(parts[number + 1..].iter().cloned()).collect())
        }
        (HirKind::Alternation(parts), Origin::Branches) => {
            let branches = parts.iter().map(|part| within(part, walk(part, prefer).any(prefer)));
            Hir::alternation(branches.collect::<Option<_>>()?)
        }
        (HirKind::Repetition(repetition), Origin::Repeated) => {
            let first = within(&repetition.sub, walk(&repetition.sub, prefer).any(prefer))?;
            let more = Repetition { min: 0, max: None, ..repetition.clone() };
            Hir::concat(vec![first, Hir::repetition(more)])
        }
        _ => return None,
    })
}

/// The rarest set of strings of which every match contains a member.
fn best(hir: &Hir, prefer: Prefer) -> Option<Vec<Placed>> {
    walk(hir, prefer).any(prefer).filter(|best| usable(best))
}

/// A byte, lower-case where both cases match.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Unit {
    byte: u8,
    both_cases: bool,
}

type Piece = Vec<Unit>;

/// A piece in a part of a regex.
#[derive(Debug, Clone)]
struct Placed {
    piece: Piece,
    before: Before,
    origin: Origin,
}

/// Where in a part of a regex a piece starts; the same for all members of a set.
#[derive(Debug, Clone, Copy)]
enum Origin {
    /// Where the part starts.
    Start,
    /// With a link of a chain.
    Part(usize),
    /// Within a link of a chain.
    Within(usize),
    /// In each branch elsewhere.
    Branches,
    /// In what is repeated.
    Repeated,
}

fn at_start(pieces: Vec<Piece>) -> Vec<Placed> {
    placed(pieces, Before::NOTHING, Origin::Start)
}

fn placed(pieces: Vec<Piece>, before: Before, origin: Origin) -> Vec<Placed> {
    pieces.into_iter().map(|piece| Placed { piece, before, origin }).collect()
}

fn started(mut set: Vec<Placed>, origin: Origin) -> Vec<Placed> {
    for placed in &mut set {
        placed.origin = origin;
    }
    set
}

/// What is known of a part of a regex.
#[derive(Debug, Default)]
struct Pieces {
    /// All strings that the part matches, where they are few.
    exact: Option<Vec<Piece>>,
    /// A set of which every match contains a member.
    best: Option<Vec<Placed>>,
}

impl Pieces {
    /// The better of both sets.
    fn any(self, prefer: Prefer) -> Option<Vec<Placed>> {
        better(self.exact.map(at_start), self.best, prefer)
    }

    fn exact(pieces: Vec<Piece>) -> Self {
        Self { exact: Some(pieces), best: None }
    }
}

/// The parser bounds the nesting of a pattern, and with it this recursion.
fn walk(hir: &Hir, prefer: Prefer) -> Pieces {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => Pieces::exact(vec![Vec::new()]),
        HirKind::Literal(literal) => {
            Pieces::exact(vec![literal.0.iter().map(|&byte| Unit { byte, both_cases: false }).collect()])
        }
        HirKind::Class(class) => class_units(class).map_or_else(Pieces::default, |units| {
            Pieces::exact(units.into_iter().map(|u| vec![u]).collect())
        }),
        HirKind::Capture(capture) => walk(&capture.sub, prefer),
        HirKind::Repetition(repetition) => {
            let sub = walk(&repetition.sub, prefer);
            match (repetition.min, repetition.max) {
                (0, Some(1)) => match sub.exact {
                    Some(mut exact) if exact.len() < MAX_CLASS => {
                        exact.push(Vec::new());
                        Pieces::exact(exact)
                    }
                    _ => Pieces::default(),
                },
                (0, _) => Pieces::default(),
                (min, max) => {
                    // One repetition is certain; the strings are exact where the number of repetitions is.
                    let exact = sub.exact.as_ref().filter(|_| max == Some(min)).and_then(|exact| {
                        let mut joined = vec![Vec::new()];
                        for _ in 0..min {
                            joined = join(&joined, exact)?;
                        }
                        Some(joined)
                    });
                    Pieces { best: sub.any(prefer).map(|set| started(set, Origin::Repeated)), exact }
                }
            }
        }
        HirKind::Concat(parts) => concat(parts, prefer),
        HirKind::Alternation(parts) => alternation(parts, prefer),
    }
}

fn concat(parts: &[Hir], prefer: Prefer) -> Pieces {
    let mut best = None;
    let mut run = vec![Vec::new()];
    // Where the run starts, what may stand before that, and before the link that is looked at.
    let (mut start, mut before_run, mut before) = (0, Before::NOTHING, Before::NOTHING);
    let mut whole = true;
    for (number, hir) in parts.iter().enumerate() {
        let link = walk(hir, prefer);
        let after = before.then(&Before::of(hir));
        if let Some(joined) = link.exact.as_ref().and_then(|exact| join(&run, exact)) {
            run = joined;
        } else {
            whole = false;
            let ended = std::mem::replace(&mut run, vec![Vec::new()]);
            best = better(best, Some(placed(ended, before_run, Origin::Part(start))), prefer);
            (start, before_run) = (number + 1, after);
            if let Some(exact) = link.exact {
                (run, start, before_run) = (exact, number, before);
            }
        }
        let inner = link.best.map(|mut inner| {
            for placed in &mut inner {
                placed.before = before.then(&placed.before);
            }
            started(inner, Origin::Within(number))
        });
        best = better(best, inner, prefer);
        before = after;
    }
    if whole {
        Pieces { exact: Some(run), best }
    } else {
        Pieces { exact: None, best: better(best, Some(placed(run, before_run, Origin::Part(start))), prefer) }
    }
}

fn alternation(parts: &[Hir], prefer: Prefer) -> Pieces {
    let (mut exact, mut best) = (Some(Vec::new()), Some(Vec::new()));
    for part in parts {
        let part = walk(part, prefer);
        exact = exact.zip(part.exact.as_ref()).and_then(|(mut all, exact)| {
            all.extend(exact.iter().cloned());
            (all.len() <= MAX_LITERALS).then_some(all)
        });
        best = best.zip(part.any(prefer)).and_then(|(mut all, part)| {
            all.append(&mut started(part, Origin::Branches));
            (all.len() <= MAX_LITERALS).then_some(all)
        });
    }
    Pieces { exact, best }
}

/// The units of a class of at most `MAX_CLASS` of them, a letter in both cases counting once.
fn class_units(class: &Class) -> Option<Vec<Unit>> {
    let bytes: Vec<u8> = match class {
        Class::Bytes(class) => {
            let size: usize = class.iter().map(regex_syntax::hir::ClassBytesRange::len).sum();
            if size > 2 * MAX_CLASS {
                return None;
            }
            class.iter().flat_map(|range| range.start()..=range.end()).collect()
        }
        Class::Unicode(class) => {
            let size: usize = class.iter().map(regex_syntax::hir::ClassUnicodeRange::len).sum();
            if size > 2 * MAX_CLASS || !class.is_ascii() {
                return None;
            }
            class
                .iter()
                .flat_map(|range| range.start()..=range.end())
                .filter_map(|c| u8::try_from(c).ok())
                .collect()
        }
    };
    let mut units = Vec::new();
    for &byte in &bytes {
        let both_cases = byte.is_ascii_alphabetic() && bytes.contains(&(byte ^ 0x20));
        if !(both_cases && byte.is_ascii_uppercase()) {
            units.push(Unit { byte, both_cases });
        }
    }
    (!units.is_empty() && units.len() <= MAX_CLASS).then_some(units)
}

/// Every piece of `left` followed by every piece of `right`; `None` where they become too many or too long.
fn join(left: &[Piece], right: &[Piece]) -> Option<Vec<Piece>> {
    if left.len() * right.len() > MAX_JOINED && right.len() > 1 && left.len() > 1 {
        return None;
    }
    let mut joined = Vec::with_capacity(left.len() * right.len());
    for left in left {
        for right in right {
            if left.len() + right.len() > MAX_LENGTH {
                return None;
            }
            joined.push([left.as_slice(), right].concat());
        }
    }
    Some(joined)
}

fn usable(pieces: &[Placed]) -> bool {
    !pieces.is_empty() && pieces.len() <= MAX_LITERALS && pieces.iter().all(|placed| placed.piece.len() >= 2)
}

/// Of a set and one behind it the one that is expected to occur less often, if it is by what is preferred.
fn better(a: Option<Vec<Placed>>, b: Option<Vec<Placed>>, prefer: Prefer) -> Option<Vec<Placed>> {
    let cost = |pieces: &Option<Vec<Placed>>| {
        let pieces = pieces.as_ref().filter(|pieces| usable(pieces))?;
        // Costs are logarithms: the most common member dominates, and each doubling of the number adds one.
        let worst = pieces.iter().map(|placed| rarest_window(&literal(&placed.piece).0, 4).1).max()?;
        Some(worst + 16 * pieces.len().ilog2())
    };
    match (cost(&a), cost(&b)) {
        (Some(left), Some(right)) => {
            if right + prefer.margin() < left {
                b
            } else {
                a
            }
        }
        (Some(_), None) => a,
        (None, Some(_)) => b,
        (None, None) => None,
    }
}

/// A literal is one case or the other as a whole; where a letter of either case is in it, all of it is folded.
fn literal(piece: &[Unit]) -> (Vec<u8>, Case) {
    let case = if piece.iter().any(|unit| unit.both_cases) { Case::Insensitive } else { Case::Sensitive };
    let bytes = piece.iter().map(|unit| unit.byte);
    let bytes = match case {
        Case::Sensitive => bytes.collect(),
        Case::Insensitive => bytes.map(|byte| byte.to_ascii_lowercase()).collect(),
    };
    (bytes, case)
}
