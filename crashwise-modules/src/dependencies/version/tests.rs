#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::cmp::Ordering;

use proptest::prelude::*;

use super::{Ecosystem, Order, VersionError};

/// Each row ascends; texts with a bar between them are equal.
const ASCENDING: &[(Order, &[&str])] = &[
    (
        Order::SemVer,
        &[
            "0",
            "0.0.1",
            "1.0.0-0",
            "1.0.0-2",
            "1.0.0-10",
            "1.0.0--1",
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-alpha.beta",
            "1.0.0-beta",
            "1.0.0-beta.2",
            "1.0.0-beta.11",
            "1.0.0-rc.1",
            "1.0.0|v1.0.0|1|1.0|=1.0.0|1.0.0+build|1.0.0.0",
            "1.0.0.1",
            "1.0.1-alpha",
            "1.0.1",
            "1.2.0",
            "1.10.0",
            "99999999999999999999999.0.0-1",
            "99999999999999999999999.0.0",
            "100000000000000000000000.0.0",
        ],
    ),
    (
        Order::SemVer,
        &[
            "v0.0.0-20190101000000-abcdef",
            "v0.0.0-20200101000000-000000",
            "v0.0.0",
            "v2.0.0+incompatible|v2.0.0",
        ],
    ),
    (
        Order::Pep440,
        &[
            "bogus",
            "1.0.foo",
            "1.0.dev1",
            "1.0.dev2|1.0-dev2|1.0dev2",
            "1.0a1.dev1",
            "1.0a1|1.0.alpha-1|v1.0a1|1.0.0a1",
            "1.0a1.post1.dev2",
            "1.0a1.post1",
            "1.0b2",
            "1.0rc1.dev1",
            "1.0rc1|1.0c1|1.0pre1|1.0-preview_1",
            "1.0|1.0.0|01.0| 1.0 ",
            "1.0+abc",
            "1.0+abc.5",
            "1.0+abc.7|1.0+ABC-7",
            "1.0+5",
            "1.0+5.0",
            "1.0.post0.dev1",
            "1.0.post0|1.0post|1.0-0|1.0rev|1.0.r",
            "1.0.post1|1.0-1",
            "1.0.1.dev1",
            "1.0.1",
            "1.1.dev1",
            "2",
            "2024.1",
            "1!0.1",
        ],
    ),
    (
        Order::Maven,
        &[
            "1-alpha-1|1-a1|1.0-alpha1|1.alpha1",
            "1-alpha-2",
            "1-beta-1|1-b1|1.0.0.b1",
            "1-milestone-1|1-m1",
            "1-rc-1|1-cr1|1.RC1",
            "1-rc-2",
            "1-SNAPSHOT|1.0-snapshot",
            "1|1.0|1-ga|1.final|1-RELEASE|1.0.0|1-0|1.ga",
            "1-sp",
            "1-sp-1",
            "1-foo",
            "1-foo-1",
            "1-xyz",
            "1-1",
            "1-2",
            "1.0.1",
            "1.1-rc1",
            "1.1",
            "1.1.1",
            "1.2",
            "1.10",
            "2",
            "20040616",
            "99999999999999999999",
        ],
    ),
    (Order::Maven, &["1.0.RC1", "1.0.RC2|1.0-RC2", "1.0.0.RC3|1.0-RC3", "1.0.1"]),
    (Order::Maven, &["1.x.1-a1", "1.x.1", "1.x.2", "1-x", "1.1"]),
    (Order::Maven, &["2.0.alpha.1", "2.0", "2.0.0-x", "2.0.x.1"]),
    (Order::Maven, &["31.0-android", "31.0-jre", "31.0.1-android", "31.0.1-jre"]),
    (
        Order::Maven,
        &[
            "4.1.0.Beta1-SNAPSHOT",
            "4.1.0.CR1",
            "4.1.0.Final|4.1",
            "4.1.0.Final-redhat-1",
            "4.1.0.Final-redhat-2",
            "4.1.1.Final",
        ],
    ),
    (
        Order::RubyGems,
        &[
            "1.0.a",
            "1.0.a1",
            "1.0.a2",
            "1.0.a10",
            "1.0.b1",
            "1.0.pre",
            "1.0-1|1.0.pre.1",
            "1.0.rc1",
            "1.0.rc2",
            "1|1.0|1.0.0",
            "1.0.0.1",
            "1.0.1",
            "1.9",
            "1.10",
            "1.10.1",
        ],
    ),
    (Order::RubyGems, &["1.a.b", "1.a.0.b", "1.a.0.0.b", "1.a|1.a.0", "1.a.0.0.1", "1.a.0.1", "1.a.1"]),
    (
        Order::Packagist,
        &[
            "dev-master|dev-foo|master",
            "1.0.0-dev",
            "1.0.0-alpha1|1.0a1|1.0.0.0-ALPHA1",
            "1.0.0-alpha2",
            "1.0.0-beta1|v1.0b1",
            "1.0.0-RC1|1.0rc1|1.0-rc.1",
            "1.0|1.0.0|1.0.0.0|v1|1.0-stable|1.0+meta",
            "1.0.0-p1|1.0pl1|1.0-patch1",
            "1.0.0-p2",
            "1.0.1",
            "1.0.x-dev",
            "1.x-dev",
            "2010.01.02",
            "20100102",
        ],
    ),
    (
        Order::NuGet,
        &[
            "1.0.0--5",
            "1.0.0-1",
            "1.0.0-2|1.0.0-02",
            "1.0.0-2147483648",
            "1.0.0-alpha|1.0.0-ALPHA",
            "1.0.0-alpha.1",
            "1.0.0-alpha.beta",
            "1.0.0-beta",
            "1.0.0-RC|1-rc",
            "1.0.0|1|1.0.0.0|1.0.0+abc",
            "1.0.0.1",
            "1.0.1",
            "1.0.10",
        ],
    ),
    (
        Order::Pub,
        &[
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-beta.2",
            "1.0.0-beta.11",
            "1.0.0-rc.1",
            "1.0.0-rc.1+build",
            "1.0.0",
            "1.0.0+0.3.7",
            "1.3.7",
            "1.3.7+build",
            "1.3.7+build.2.b8f12d7",
            "1.3.7+build.11.e0f985a",
            "2.0.0",
        ],
    ),
    (Order::Hackage, &["0", "0.1", "1", "1.0", "1.0.0", "1.0.1", "1.2", "1.10|1.10-tag", "20230101"]),
    (Order::Cran, &["0.5", "1.0|1.0.0|1.0-0|1", "1.0-1|1.0.1", "1.0.10", "1.1", "3.99-0.17", "2009.05-10"]),
    (
        Order::Debian,
        &[
            "1.0~~",
            "1.0~~a",
            "1.0~",
            "1.0~rc1",
            "1.0|1.0-0|0:1.0|1.00|1.",
            "1.0-0ubuntu1",
            "1.0-1~bpo1",
            "1.0-1",
            "1.0-1+b1",
            "1.0-10",
            "1.0a",
            "1.0a1",
            "1.0+dfsg",
            "1.0.1",
            "1.1",
            "1.10",
            "1:0.1",
            "10:0.1",
        ],
    ),
    (Order::Debian, &["1.2.3~rc1-1", "1.2.3-1", "1.2.3-1.1", "1.2.3a-1", "1.2.3+b-1", "1.2.3-1-1"]),
    (
        Order::Rpm,
        &[
            "1.fc4",
            "1.0~rc1",
            "1.0~rc1^git1",
            "1.0~rc2",
            "1.0|1_0|1.0.|01.0|0:1.0",
            "1.0-1",
            "1.0-1.el8",
            "1.0-2",
            "1.0^",
            "1.0^git1~pre",
            "1.0^git1",
            "1.0.a",
            "1.0.1",
            "1.1",
            "2.0.1",
            "10",
            "1:0.1",
        ],
    ),
    (Order::Rpm, &["a", "b", "0", "1a", "1a1", "1.1"]),
    (
        Order::Alpine,
        &[
            "x",
            "1.0_alpha",
            "1.0_alpha1",
            "1.0_alpha2",
            "1.0_beta",
            "1.0_pre2",
            "1.0_rc1",
            "1.0",
            "1.0-r0",
            "1.0-r1",
            "1.0-r10",
            "1.0_cvs",
            "1.0_svn",
            "1.0_git20230101",
            "1.0_hg",
            "1.0_p1_alpha",
            "1.0_p1",
            "1.0_p1-r1",
            "1.0_p10",
            "1.0a",
            "1.0b",
            "1.0.0",
            "1.00",
            "1.01",
            "1.010",
            "1.1",
            "1.2",
            "1.10",
            "2|02",
        ],
    ),
    (Order::Alpine, &["1.0_p", "1.0_p-r0", "1.0_p0", "1.0_p_p"]),
];

fn members(group: &str) -> impl Iterator<Item = &str> {
    group.split('|')
}

#[test]
fn chains_ascend_by_key_and_by_comparison() {
    for (order, chain) in ASCENDING {
        for (i, left) in chain.iter().enumerate() {
            for (j, right) in chain.iter().enumerate() {
                for (a, b) in members(left).flat_map(|a| members(right).map(move |b| (a, b))) {
                    let keys = order.key(a).unwrap().cmp(&order.key(b).unwrap());
                    assert_eq!(keys, i.cmp(&j), "{order:?} key of {a} against {b}");
                    assert_eq!(order.compare(a, b).unwrap(), i.cmp(&j), "{order:?} {a} against {b}");
                }
            }
        }
    }
}

#[test]
fn malformed_versions_have_no_key() {
    let malformed = [
        (Order::SemVer, "latest"),
        (Order::SemVer, "1.0\u{0}"),
        (Order::RubyGems, "abc"),
        (Order::Packagist, "feature"),
        (Order::Packagist, "1.2.3.4.5"),
        (Order::NuGet, "1.x"),
        (Order::Pub, "1.0.0beta"),
        (Order::Hackage, "1.a"),
        (Order::Cran, "1.0a"),
        (Order::Debian, "a:1"),
        (Order::Debian, "1:"),
    ];
    for (order, version) in malformed {
        assert!(matches!(order.key(version), Err(VersionError::Malformed { .. })), "{order:?} {version}");
    }
    for order in Order::ALL {
        assert_eq!(order.key(" "), Err(VersionError::Empty));
        assert_eq!(order.key(&"1".repeat(513)), Err(VersionError::TooLong { length: 513 }));
    }
}

#[test]
fn ecosystems_read_their_names_and_fold_package_names() {
    for ecosystem in Ecosystem::ALL {
        assert_eq!(ecosystem.name().parse(), Ok(*ecosystem));
    }
    assert_eq!("Debian:12".parse(), Ok(Ecosystem::Debian));
    assert!("Nowhere".parse::<Ecosystem>().is_err());
    assert_eq!(Ecosystem::PyPi.normalize_name("Foo__bar.-Baz"), "foo-bar-baz");
    assert_eq!(Ecosystem::NuGet.normalize_name("Newtonsoft.Json"), "newtonsoft.json");
    assert_eq!(Ecosystem::Npm.normalize_name("JSONStream"), "JSONStream");
}

/// Texts made of the pieces that the orders treat specially.
fn version() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => "[0-9]{1,3}",
        4 => prop::sample::select(vec![".", "-", "_", "+", "~", "^", ":", "!", " ", "v"]).prop_map(str::to_owned),
        3 => prop::sample::select(vec![
            "a", "b", "rc", "alpha", "beta", "pre", "post", "dev", "p", "sp", "ga", "final", "snapshot", "foo", "x", "RC", "m", "0", "00", "patch",
            "stable", "git", "-r1", "_p", "é", "99999999999999999999",
        ]).prop_map(str::to_owned),
    ];
    prop::collection::vec(piece, 1..9).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn keys_order_as_the_comparison_and_are_total(a in version(), b in version(), c in version()) {
        for order in Order::ALL {
            let (Ok(x), Ok(y)) = (order.key(&a), order.key(&b)) else { continue };
            let compared = order.compare(&a, &b).unwrap();
            prop_assert_eq!(x.cmp(&y), compared, "{:?} {} {}", order, a, b);
            prop_assert_eq!(order.compare(&b, &a).unwrap(), compared.reverse());
            prop_assert_eq!(order.compare(&a, &a).unwrap(), Ordering::Equal);
            let Ok(_) = order.key(&c) else { continue };
            if compared.is_le() && order.compare(&b, &c).unwrap().is_le() {
                prop_assert!(order.compare(&a, &c).unwrap().is_le(), "{:?} {} {} {}", order, a, b, c);
            }
        }
    }

    #[test]
    fn any_text_is_read_without_a_panic(text in ".{0,40}") {
        for order in Order::ALL {
            let _ = order.key(&text);
        }
    }
}
