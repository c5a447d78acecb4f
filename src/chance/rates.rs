//! How often calls fail: one rate for all, others for some sites.

use std::collections::BTreeMap;

/// A rate that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a rate is a number from 0 (never) to 1 (always), not {0}")]
pub struct BadRate(String);

/// Shares of calls that fail, from 0 to 1.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Rates {
    default: f64,
    some: BTreeMap<String, f64>,
}

impl Rates {
    /// `some` are for the sites of these names, and for all below them: `store` is for `store.append`
    /// too, unless that has its own.
    pub fn new(default: f64, some: BTreeMap<String, f64>) -> Result<Self, BadRate> {
        for rate in some.values().chain([&default]) {
            if !(0.0..=1.0).contains(rate) {
                return Err(BadRate(rate.to_string()));
            }
        }
        Ok(Self { default, some })
    }

    /// The rate of a site.
    pub fn of(&self, site: &str) -> f64 {
        let mut name = site;
        loop {
            if let Some(rate) = self.some.get(name) {
                return *rate;
            }
            match name.rsplit_once('.') {
                Some((above, _)) => name = above,
                None => return self.default,
            }
        }
    }

    /// The names that have rates of their own.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.some.keys().map(String::as_str)
    }
}

/// A rate as the border below which a drawn number makes a call fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Border {
    /// No call fails.
    Never,
    /// Those whose number is smaller.
    Below(u64),
    /// Every call fails.
    Always,
}

impl Border {
    pub(super) fn of(rate: f64) -> Self {
        if rate >= 1.0 {
            return Self::Always;
        }
        if rate <= 0.0 {
            return Self::Never;
        }
        // 2^64 itself is no `u64`; what is below 1.0 ends below it.
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "from 0 to below 2^64"
        )]
        Self::Below((rate * 18_446_744_073_709_551_616.0) as u64)
    }

    pub(super) fn fails(self, drawn: u64) -> bool {
        match self {
            Self::Never => false,
            Self::Below(border) => drawn < border,
            Self::Always => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_counts() {
        let some = [("store".to_owned(), 0.5), ("store.append".to_owned(), 1.0)];
        let rates = Rates::new(0.25, some.into()).unwrap();
        for (site, rate) in [
            ("store.append", 1.0),
            ("store.search", 0.5),
            ("storeroom", 0.25),
            ("state.job", 0.25),
        ] {
            let found: f64 = rates.of(site);
            assert!((found - rate).abs() < 1e-9, "{site}: {found}");
        }
        for bad in [-0.1, 1.1, f64::NAN] {
            assert!(Rates::new(bad, BTreeMap::new()).is_err(), "{bad}");
        }
    }

    #[test]
    fn nothing_is_never_and_all_is_always() {
        assert!(!Border::of(0.0).fails(0));
        assert!(Border::of(1.0).fails(u64::MAX));
        assert_eq!(Border::of(0.5), Border::Below(1 << 63));
    }
}
