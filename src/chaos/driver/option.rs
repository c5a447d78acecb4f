//! `--chaos seed=7,rate=0.05,store.append=0.2`.

use crate::config::Chaos;

/// An option that cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadOption {
    /// Not a list of pairs.
    #[error("--chaos {0}: write seed=NUMBER,rate=SHARE,SITE=SHARE")]
    Form(String),
    /// Nothing to repeat it by.
    #[error("--chaos: say seed=NUMBER: with the same seed the same calls fail again")]
    Seed,
    /// Nobody has said that this service may fail.
    #[error(
        "--chaos makes calls of this service fail on purpose; it is refused unless the configuration says `chaos: {{allow-chaos: true}}`, so that it never hits a service that people rely on"
    )]
    NotAllowed,
}

/// Puts the option over the configuration.
pub fn apply(option: &str, config: &mut Chaos) -> Result<(), BadOption> {
    if !config.allow_chaos {
        return Err(BadOption::NotAllowed);
    }
    let mut seed = None;
    for pair in option.split(',') {
        let form = || BadOption::Form(pair.trim().to_owned());
        let (name, value) = pair.split_once('=').ok_or_else(form)?;
        let share = || value.trim().parse().map_err(|_| form());
        match name.trim() {
            "seed" => seed = Some(value.trim().parse().map_err(|_| form())?),
            "rate" => config.rate = share()?,
            site => {
                config.rates.insert(site.to_owned(), share()?);
            }
        }
    }
    config.seed = Some(seed.ok_or(BadOption::Seed)?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_put_over_the_configuration() {
        let mut config = Chaos {
            allow_chaos: true,
            ..Chaos::default()
        };
        apply("seed=7, rate=0.5,store.append=1", &mut config).unwrap();
        assert_eq!(config.seed, Some(7));
        assert!((config.rate - 0.5).abs() < 1e-9 && config.rates["store.append"] > 0.9);
        assert_eq!(apply("rate=0.5", &mut config), Err(BadOption::Seed));
        for bad in ["seed", "seed=x", "seed=1,rate=often"] {
            let form = matches!(apply(bad, &mut config), Err(BadOption::Form(_)));
            assert!(form, "{bad}");
        }
        let mut other = Chaos::default();
        assert_eq!(apply("seed=7", &mut other), Err(BadOption::NotAllowed));
    }
}
