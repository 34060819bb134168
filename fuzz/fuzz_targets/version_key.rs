//! Keys order as the comparison does, in every order, and the comparison is total and transitive.
#![no_main]

use crashwise_modules::dependencies::version::Order;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let versions: Vec<&str> = text.split('\n').take(3).collect();
    for order in Order::ALL {
        for a in &versions {
            for b in &versions {
                let (Ok(x), Ok(y)) = (order.key(a), order.key(b)) else {
                    assert!(order.compare(a, b).is_err(), "{order:?} {a:?} {b:?}");
                    continue;
                };
                let compared = order.compare(a, b).unwrap();
                assert_eq!(x.cmp(&y), compared, "{order:?} {a:?} {b:?}");
                assert_eq!(order.compare(b, a).unwrap(), compared.reverse(), "{order:?} {a:?} {b:?}");
                for c in &versions {
                    if let (true, Ok(later)) = (compared.is_le(), order.compare(b, c))
                        && later.is_le()
                    {
                        assert!(order.compare(a, c).unwrap().is_le(), "{order:?} {a:?} {b:?} {c:?}");
                    }
                }
            }
        }
    }
});
