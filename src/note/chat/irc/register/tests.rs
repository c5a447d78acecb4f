use super::*;
use proptest::collection::vec;
use proptest::prelude::*;

fn settings(sasl: Option<Sasl>) -> Arc<Settings> {
    let mut settings = Settings::new("irc.test", "whorl");
    settings.sasl = sasl;
    Arc::new(settings)
}

fn plain() -> Arc<Settings> {
    settings(Some(Sasl::Plain {
        account: "bot".into(),
        password: "secret".into(),
    }))
}

/// What was sent for all these lines, and how it ended.
struct Told {
    sent: Vec<String>,
    done: Option<Registered>,
    failure: Option<Failure>,
}

fn tell(settings: Arc<Settings>, lines: &[&str]) -> Told {
    let (mut registration, first) = Registration::begin(settings);
    let mut told = Told {
        sent: first.iter().map(ToString::to_string).collect(),
        done: None,
        failure: None,
    };
    for line in lines {
        let message = Message::parse(line).unwrap();
        match registration.on(&message) {
            Ok(progress) => {
                told.sent
                    .extend(progress.send.iter().map(ToString::to_string));
                told.done = told.done.or(progress.done);
            }
            Err(failure) => {
                told.failure = Some(failure);
                break;
            }
        }
    }
    told
}

const WELCOME: [&str; 3] = [
    ":s 001 whorl :Welcome",
    ":s 005 whorl CASEMAPPING=ascii :are supported",
    ":s 422 whorl :no MOTD",
];

fn with_welcome(lines: &[&'static str]) -> Vec<&'static str> {
    lines.iter().copied().chain(WELCOME).collect()
}

#[test]
fn without_sasl_all_wishes_are_asked_for_at_once() {
    let lines = [
        ":s CAP * LS * :multi-prefix sasl=PLAIN,EXTERNAL echo-message",
        ":s CAP * LS :account-tag message-tags server-time",
        ":s CAP whorl ACK :message-tags account-tag echo-message",
    ];
    let told = tell(settings(None), &with_welcome(&lines));
    assert_eq!(
        told.sent,
        [
            "CAP LS 302",
            "NICK whorl",
            "USER whorl 0 * whorl",
            "CAP REQ :message-tags account-tag echo-message",
            "CAP END"
        ]
    );
    let done = told.done.unwrap();
    assert_eq!(
        (done.nick.as_str(), done.echo, done.accounts),
        ("whorl", true, true)
    );
    assert_eq!((done.folding, done.account), (Folding::Ascii, None));
}

#[test]
fn a_server_without_capabilities_is_joined_when_no_sasl_is_wanted() {
    let told = tell(
        settings(None),
        &with_welcome(&[":s 421 * CAP :Unknown command"]),
    );
    let done = told.done.unwrap();
    assert!(!done.echo && !done.accounts);
    // ngIRCd offers, and some servers refuse what they offer.
    let lines = [":s CAP * LS :echo-message", ":s CAP * NAK :echo-message"];
    let told = tell(settings(None), &with_welcome(&lines));
    assert_eq!(told.sent.last().unwrap(), "CAP END");
    assert!(!told.done.unwrap().echo);
}

#[test]
fn the_end_of_the_motd_is_waited_for() {
    let lines = [
        ":s CAP * LS :",
        ":s 001 whorl :hi",
        ":s 375 whorl :MOTD",
        ":s 372 whorl :-",
    ];
    assert_eq!(tell(settings(None), &lines).done, None);
    let lines = [":s CAP * LS :", ":s 376 whorl :not yet welcome"];
    assert_eq!(tell(settings(None), &lines).done, None);
    let lines = [":s CAP * LS :", ":s 001 other :hi", ":s 376 other :End"];
    assert_eq!(tell(settings(None), &lines).done.unwrap().nick, "other");
}

#[test]
fn sasl_is_proven_before_the_talk_ends() {
    let lines = [
        ":s CAP * LS :sasl=EXTERNAL,PLAIN message-tags",
        ":s CAP * ACK :sasl",
        ":s CAP * ACK :message-tags",
        "AUTHENTICATE +",
        ":s 900 * whorl!u@h bot :You are now logged in as bot",
        ":s 903 * :SASL authentication successful",
    ];
    let told = tell(plain(), &with_welcome(&lines));
    assert_eq!(
        told.sent[3..],
        [
            "CAP REQ sasl",
            "CAP REQ message-tags",
            "AUTHENTICATE PLAIN",
            "AUTHENTICATE AGJvdABzZWNyZXQ=",
            "CAP END"
        ]
    );
    assert_eq!(told.done.unwrap().account.as_deref(), Some("bot"));
    let told = tell(plain(), &lines[..5]);
    assert!(!told.sent.contains(&"CAP END".to_owned()));
}

#[test]
fn external_answers_with_nothing_but_the_certificate() {
    let lines = [
        ":s CAP * LS :sasl",
        ":s CAP * ACK :sasl",
        "AUTHENTICATE +",
        ":s 903 * :ok",
    ];
    let told = tell(settings(Some(Sasl::External)), &with_welcome(&lines));
    assert_eq!(
        told.sent[3..],
        [
            "CAP REQ sasl",
            "AUTHENTICATE EXTERNAL",
            "AUTHENTICATE +",
            "CAP END"
        ]
    );
    assert!(told.done.is_some());
}

#[test]
fn every_refusal_of_sasl_ends_it() {
    let begun = [":s CAP * LS :sasl", ":s CAP * ACK :sasl", "AUTHENTICATE +"];
    for refusal in [
        ":s 902 * :You must use a nick assigned to you",
        ":s 904 * :SASL authentication failed",
        ":s 905 * :SASL message too long",
        ":s 906 * :SASL authentication aborted",
        ":s 907 * :You have already authenticated using SASL",
        ":s FAIL AUTHENTICATE TEMPORARILY :later",
    ] {
        let lines: Vec<&str> = begun.into_iter().chain([refusal]).collect();
        let told = tell(plain(), &with_welcome(&lines.leak()[..]));
        assert!(matches!(told.failure, Some(Failure::Sasl(_))), "{refusal}");
        assert_eq!(told.done, None);
        assert!(!told.sent.contains(&"CAP END".to_owned()));
    }
}

#[test]
fn a_server_without_fitting_sasl_ends_it() {
    let cases: [&[&'static str]; 8] = [
        &[":s CAP * LS :multi-prefix"],
        &[":s CAP * LS :"],
        &[":s CAP * LS :sasl=EXTERNAL,SCRAM-SHA-256"],
        &[":s CAP * LS :sasl", ":s CAP * NAK :sasl"],
        &[
            ":s CAP * LS :sasl",
            ":s CAP * ACK :sasl",
            ":s 908 * EXTERNAL :are available",
        ],
        &[":s 421 * CAP :Unknown command"],
        &[":s 410 * LS :Invalid CAP command"],
        // It simply welcomes us.
        &[],
    ];
    for case in cases {
        let told = tell(plain(), &with_welcome(case));
        assert!(
            matches!(told.failure, Some(Failure::NoSasl(_))),
            "{case:?}: {:?}",
            told.failure
        );
        assert_eq!(told.done, None);
    }
}

#[test]
fn success_without_our_answer_proves_nothing() {
    for lines in [
        &[":s 903 * :ok"][..],
        &[":s CAP * LS :sasl", ":s 903 * :ok"],
        &[":s CAP * LS :sasl", ":s CAP * ACK :sasl", ":s 903 * :ok"],
        &[
            ":s CAP * LS :sasl",
            ":s 900 * n!u@h bot :ok",
            ":s 903 * :ok",
        ],
    ] {
        let told = tell(plain(), &with_welcome(lines));
        assert_eq!(told.done, None, "{lines:?}");
        assert!(told.failure.is_some(), "{lines:?}");
    }
}

#[test]
fn a_nick_in_use_is_replaced() {
    let taken = ":s 433 * whorl :Nickname is already in use";
    let told = tell(
        settings(None),
        &with_welcome(&[":s CAP * LS :", taken, taken]),
    );
    assert_eq!(told.sent[4..], ["NICK whorl_", "NICK whorl__"]);
    for other in ["436", "437"] {
        let line = format!(":s {other} * whorl :Nickname collision");
        assert_eq!(tell(settings(None), &[&line]).sent[3], "NICK whorl_");
    }
    let told = tell(settings(None), &[taken; 9]);
    assert!(matches!(told.failure, Some(Failure::Lost(_))));
}

#[test]
fn refusals_of_the_server_are_told_apart() {
    let failure = |line: &str| tell(settings(None), &[line]).failure.unwrap();
    assert!(matches!(
        failure(":s 464 * :Password incorrect"),
        Failure::Password(_)
    ));
    assert!(matches!(
        failure(":s 432 * whorl :Erroneous Nickname"),
        Failure::Nick(_)
    ));
    let lost = Failure::Lost("Access denied".into());
    assert_eq!(failure("ERROR :Access denied"), lost);
    assert!(matches!(
        failure(":s 465 whorl :You are banned"),
        Failure::Lost(_)
    ));
}

#[test]
fn the_server_password_and_pings_are_answered() {
    let mut with = Settings::new("irc.test", "whorl");
    with.password = Some("two words".into());
    let told = tell(Arc::new(with), &["PING :12 34"]);
    assert_eq!(told.sent[0], "PASS :two words");
    assert_eq!(told.sent.last().unwrap(), "PONG :12 34");
}

#[test]
fn names_are_folded_as_the_server_does() {
    assert_eq!(Folding::Rfc1459.fold("#A[]\\^"), "#a{}|~");
    assert_eq!(Folding::StrictRfc1459.fold("A[^"), "a{^");
    assert_eq!(Folding::Ascii.fold("A[^Ä"), "a[^Ä");
}

/// Anything that a server may say while it registers us, in any order, but the success.
fn any_line() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(":s CAP * LS :sasl echo-message".to_owned()),
        Just(":s CAP * LS * :sasl=PLAIN".to_owned()),
        Just(":s CAP * LS :".to_owned()),
        Just(":s CAP * ACK :sasl".to_owned()),
        Just(":s CAP * ACK :echo-message".to_owned()),
        Just(":s CAP * NAK :echo-message".to_owned()),
        Just(":s CAP * NEW :sasl".to_owned()),
        Just(":s CAP * DEL :sasl".to_owned()),
        Just("AUTHENTICATE +".to_owned()),
        Just("AUTHENTICATE abc".to_owned()),
        Just(":s 001 whorl :Welcome".to_owned()),
        Just(":s 376 whorl :End".to_owned()),
        Just(":s 433 * whorl :in use".to_owned()),
        Just("PING :x".to_owned()),
        "(9(0[0-24-9])|[0-8][0-9]{2}) (\\*|whorl) :.{0,9}",
    ]
}

proptest! {
    #[test]
    fn nobody_gets_in_unproven(lines in vec(any_line(), 0..40)) {
        let (mut registration, first) = Registration::begin(plain());
        let mut sent = first;
        for line in &lines {
            let Some(message) = Message::parse(line) else { continue };
            let Ok(progress) = registration.on(&message) else { break };
            prop_assert_eq!(progress.done, None);
            sent.extend(progress.send);
        }
        for message in sent {
            let command = message.command.as_str();
            prop_assert!(["CAP", "NICK", "USER", "PONG", "AUTHENTICATE"].contains(&command));
            prop_assert_ne!(message.params, ["END"]);
        }
    }
}
