//! Maven: the version order specification of the POM reference, as `ComparableVersion` of Maven 3.9.
//!
//! A version is a list of numbers and qualifiers; a hyphen, and the change between digits and letters, open a nested
//! list, which is always the last item of its parent. A missing item compares as zero or the release qualifier.
//!
//! Maven's own comparison contradicts itself in corners: `1-alpha < 1 < 1.x.1 < 1-alpha`. Keys cannot; there they keep
//! what Maven says of the release, so that `1.x.1` stays after `1`.

use std::cmp::Ordering;

use super::key::{KeyWriter, compare_numbers, significant};

/// Bounds how deep lists nest.
const MAX_LENGTH: usize = 256;

const BEFORE_RELEASE: u8 = 0x10;
const LIST_BELOW: u8 = 0x20;
const RELEASE_THEN_LESS: u8 = 0x2d;
const ZEROS_THEN_LESS: u8 = 0x2e;
const END: u8 = 0x30;
const RELEASE_THEN_MORE: u8 = 0x31;
const SERVICE_PACK: u8 = 0x40;
const UNKNOWN: u8 = 0x41;
const LIST_ABOVE: u8 = 0x60;
const NUMBER: u8 = 0x70;

/// An item of a version.
#[derive(Debug)]
pub(super) enum Item {
    Number(String),
    Qualifier(Qualifier),
    List(Vec<Item>),
}

/// A qualifier; the order of the variants is the order of versions.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Qualifier {
    Alpha,
    Beta,
    Milestone,
    Candidate,
    Snapshot,
    Release,
    ServicePack,
    Unknown(String),
}

impl Qualifier {
    fn new(text: &str, before_number: bool) -> Self {
        match text {
            "alpha" => Self::Alpha,
            "beta" => Self::Beta,
            "milestone" => Self::Milestone,
            "a" if before_number => Self::Alpha,
            "b" if before_number => Self::Beta,
            "m" if before_number => Self::Milestone,
            "rc" | "cr" => Self::Candidate,
            "snapshot" => Self::Snapshot,
            "" | "ga" | "final" | "release" => Self::Release,
            "sp" => Self::ServicePack,
            other => Self::Unknown(other.to_owned()),
        }
    }

    fn sign(&self) -> Ordering {
        self.cmp(&Self::Release)
    }

    /// Its place among those before the release.
    fn index(&self) -> u8 {
        match self {
            Self::Alpha => 0,
            Self::Beta => 1,
            Self::Milestone => 2,
            Self::Candidate => 3,
            _ => 4,
        }
    }
}

impl Item {
    fn is_null(&self) -> bool {
        match self {
            Self::Number(digits) => significant(digits).is_empty(),
            Self::Qualifier(qualifier) => qualifier.sign().is_eq(),
            Self::List(items) => items.is_empty(),
        }
    }

    /// How the item compares with a missing one.
    fn sign(&self) -> Ordering {
        match self {
            Self::Number(digits) => significant(digits).len().cmp(&0),
            Self::Qualifier(qualifier) => qualifier.sign(),
            Self::List(items) => sign(items),
        }
    }
}

fn sign(items: &[Item]) -> Ordering {
    items.iter().map(Item::sign).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
}

/// The open lists of a version while it is read, outermost first; never empty.
struct Reader(Vec<Vec<Item>>);

impl Reader {
    /// Adds a number, a qualifier, or the zero that an empty text stands for.
    fn add(&mut self, text: &str, in_digits: bool) {
        let item = if text.is_empty() {
            Item::Number("0".to_owned())
        } else if in_digits {
            Item::Number(text.to_owned())
        } else {
            Item::Qualifier(Qualifier::new(text, false))
        };
        self.push(item);
    }

    fn push(&mut self, item: Item) {
        if let Some(list) = self.0.last_mut() {
            list.push(item);
        }
    }

    fn open_list(&mut self) {
        self.0.push(Vec::new());
    }

    /// A qualifier after a dot opens a list as one after a hyphen does.
    fn open_list_for_qualifier(&mut self) {
        if self.0.last().is_some_and(|list| !list.is_empty()) {
            self.open_list();
        }
    }

    fn finish(mut self) -> Vec<Item> {
        let mut inner: Option<Vec<Item>> = None;
        while let Some(mut items) = self.0.pop() {
            items.extend(inner.take().map(Item::List));
            drop_trailing_nulls(&mut items);
            inner = Some(items);
        }
        inner.unwrap_or_default()
    }
}

/// Drops zeros, release qualifiers and empty lists at the end and before a list.
fn drop_trailing_nulls(items: &mut Vec<Item>) {
    for index in (0..items.len()).rev() {
        if items[index].is_null() {
            items.remove(index);
        } else if !matches!(items[index], Item::List(_)) {
            break;
        }
    }
}

pub(super) fn parse(version: &str) -> Option<Vec<Item>> {
    if version.len() > MAX_LENGTH {
        return None;
    }
    let version = version.to_lowercase();
    let mut reader = Reader(vec![Vec::new()]);
    let mut in_digits = false;
    let mut start = 0;
    for (index, c) in version.char_indices() {
        let pending = &version[start..index];
        match c {
            '.' => {
                reader.add(pending, in_digits);
                start = index + 1;
            }
            '-' => {
                reader.add(pending, in_digits);
                start = index + 1;
                reader.open_list();
            }
            '0'..='9' => {
                if !in_digits && !pending.is_empty() {
                    reader.open_list_for_qualifier();
                    reader.push(Item::Qualifier(Qualifier::new(pending, true)));
                    start = index;
                    reader.open_list();
                }
                in_digits = true;
            }
            _ => {
                if in_digits && !pending.is_empty() {
                    reader.add(pending, true);
                    start = index;
                    reader.open_list();
                }
                in_digits = false;
            }
        }
    }
    let pending = &version[start..];
    if !pending.is_empty() {
        if !in_digits {
            reader.open_list_for_qualifier();
        }
        reader.add(pending, in_digits);
    }
    Some(reader.finish())
}

/// Compares item by item as the specification says, with the choices of the keys where it contradicts itself.
pub(super) fn compare(a: &[Item], b: &[Item]) -> Ordering {
    for index in 0..a.len().max(b.len()) {
        let order = match (a.get(index), b.get(index)) {
            (Some(x), Some(y)) => {
                let places = place(&a[index..]).cmp(&place(&b[index..]));
                places.then_with(|| compare_items(x, y))
            }
            _ => sign(a.get(index..).unwrap_or_default()).cmp(&sign(b.get(index..).unwrap_or_default())),
        };
        if order.is_ne() {
            return order;
        }
    }
    Ordering::Equal
}

/// The kinds of what can stand at one position, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    QualifierBelow,
    ListBelow,
    ReleaseThenLess,
    ZerosThenLess,
    End,
    ReleaseThenMore,
    QualifierAbove,
    ListAbove,
    Number,
}

fn place(items: &[Item]) -> Place {
    let whole = sign(items);
    match items.first() {
        _ if whole.is_eq() => Place::End,
        None => Place::End,
        Some(Item::Number(digits)) if significant(digits).is_empty() && whole.is_lt() => Place::ZerosThenLess,
        Some(Item::Number(_)) => Place::Number,
        Some(Item::List(_)) if whole.is_lt() => Place::ListBelow,
        Some(Item::List(_)) => Place::ListAbove,
        Some(Item::Qualifier(qualifier)) => match qualifier.sign() {
            Ordering::Less => Place::QualifierBelow,
            Ordering::Greater => Place::QualifierAbove,
            Ordering::Equal if whole.is_lt() => Place::ReleaseThenLess,
            Ordering::Equal => Place::ReleaseThenMore,
        },
    }
}

fn compare_items(a: &Item, b: &Item) -> Ordering {
    match (a, b) {
        (Item::Number(x), Item::Number(y)) => compare_numbers(x, y),
        (Item::Qualifier(x), Item::Qualifier(y)) => x.cmp(y),
        (Item::List(x), Item::List(y)) => compare(x, y),
        // Different kinds stand at different places.
        _ => Ordering::Equal,
    }
}

pub(super) fn write(items: &[Item], key: &mut KeyWriter) {
    let mut rest = items;
    while let [item, after @ ..] = rest {
        match place(rest) {
            Place::End => break,
            Place::ListBelow => key.tag(LIST_BELOW),
            Place::ListAbove => key.tag(LIST_ABOVE),
            Place::ReleaseThenLess => key.tag(RELEASE_THEN_LESS),
            Place::ReleaseThenMore => key.tag(RELEASE_THEN_MORE),
            Place::ZerosThenLess => key.tag(ZEROS_THEN_LESS),
            Place::QualifierBelow | Place::QualifierAbove | Place::Number => {}
        }
        rest = after;
        match item {
            Item::Number(_) if place_is_zero_run(item, after) => {}
            Item::Number(digits) => key.number(NUMBER, digits),
            Item::Qualifier(Qualifier::Release) => {}
            Item::Qualifier(Qualifier::ServicePack) => key.tag(SERVICE_PACK),
            Item::Qualifier(Qualifier::Unknown(text)) => {
                key.tag(UNKNOWN);
                key.text(text);
            }
            Item::Qualifier(below) => key.tag(BEFORE_RELEASE + below.index()),
            // A list is the last item, so the walk goes on inside it.
            Item::List(list) => rest = list,
        }
    }
    key.tag(END);
}

/// Whether the tag already says all: a zero before something that sorts below the release.
fn place_is_zero_run(item: &Item, after: &[Item]) -> bool {
    item.is_null() && sign(after).is_lt()
}
