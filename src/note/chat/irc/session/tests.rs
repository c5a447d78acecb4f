use super::super::settings::{Channel, Kind, Sasl};
use super::*;
use std::time::Duration;
use tokio::sync::oneshot;

type Answer = oneshot::Receiver<Result<(), SayError>>;

/// A session of `whorl` in `#a` and `#b`, and a clock that we turn.
struct Bench {
    session: Session,
    now: Instant,
}

impl Bench {
    fn with(nick: &str, echo: bool, change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = Settings::new("irc.test", "whorl");
        settings.channels = vec![Channel::new("#a"), Channel::new("#B")];
        settings.burst = 100;
        change(&mut settings);
        let now = Instant::now();
        let me = Registered::for_tests(nick, echo);
        let session = Session::new(Arc::new(settings), me, now);
        Self { session, now }
    }

    /// Joined to both channels.
    fn joined(echo: bool) -> Self {
        let mut bench = Self::with("whorl", echo, |_| {});
        bench.tick();
        bench.on(":whorl!u@h JOIN #a");
        bench.on(":whorl!u@h JOIN :#b");
        bench
    }

    /// What is sent now.
    fn tick(&mut self) -> Vec<String> {
        self.session.tick(self.now).unwrap();
        let out = self.session.take_out();
        out.iter().map(ToString::to_string).collect()
    }

    fn on(&mut self, line: &str) {
        let message = Message::parse(line).unwrap();
        self.session.on(&message, self.now).unwrap();
    }

    fn after(&mut self, seconds: u64) -> Vec<String> {
        self.now += Duration::from_secs(seconds);
        self.tick()
    }

    fn say(&mut self, channel: &str, text: &str) -> Answer {
        let (reply, answer) = oneshot::channel();
        self.session.say(channel, &[text.to_owned()], reply);
        answer
    }

    fn status(&self) -> Status {
        let mut status = Status::default();
        self.session.show(&mut status);
        status
    }
}

fn answer(answer: &mut Answer) -> Option<Result<(), SayError>> {
    answer.try_recv().ok()
}

#[test]
fn channels_are_joined_one_a_line_with_their_keys() {
    let mut bench = Bench::with("whorl", true, |s| {
        s.channels[1].key = Some("open".into());
    });
    assert_eq!(bench.tick(), ["JOIN #a", "JOIN #B open"]);
    assert!(bench.status().joined().is_empty());
    bench.on(":whorl!u@h JOIN #A");
    bench.on(":other!u@h JOIN #b");
    assert_eq!(bench.status().joined(), ["#a"]);
}

#[test]
fn a_channel_that_refuses_does_not_stop_the_others() {
    for number in [
        "471", "473", "474", "475", "476", "477", "403", "405", "437",
    ] {
        let mut bench = Bench::with("whorl", true, |_| {});
        bench.tick();
        bench.on(&format!(":s {number} whorl #a :Cannot join"));
        bench.on(":whorl!u@h JOIN #b");
        let status = bench.status();
        assert_eq!(status.joined(), ["#B"]);
        let why = format!("Cannot join ({number})");
        assert_eq!(status.channels["#a"].error.as_deref(), Some(why.as_str()));
        let mut said = bench.say("#a", "x");
        let error = answer(&mut said).unwrap().unwrap_err();
        assert!(
            error.may_try_again() && error.to_string().contains(number),
            "{error}"
        );
        // Later it is tried again, and only that one.
        assert_eq!(bench.after(31), ["JOIN #a"]);
        bench.on(":whorl!u@h JOIN #a");
        assert_eq!(bench.status().channels["#a"].error, None);
    }
}

#[test]
fn a_join_without_an_answer_is_sent_again() {
    let mut bench = Bench::with("whorl", true, |_| {});
    assert_eq!(bench.tick().len(), 2);
    bench.on(":whorl!u@h JOIN #b");
    assert_eq!(bench.after(29), [""; 0]);
    assert_eq!(bench.after(2), ["JOIN #a"]);
}

#[test]
fn after_a_kick_we_come_back_a_while_later() {
    let mut bench = Bench::joined(true);
    let mut before = bench.say("#a", "before");
    assert_eq!(bench.tick(), ["PRIVMSG #a before"]);
    let mut waiting = bench.say("#a", "waiting");
    bench.on(":op!u@h KICK #a whorl :flood");
    bench.on(":op!u@h KICK #b someone :flood");
    assert_eq!(bench.status().joined(), ["#B"]);
    let error = answer(&mut waiting).unwrap().unwrap_err();
    assert_eq!(error.to_string(), "not in #a: kicked by op: flood");
    assert_eq!(answer(&mut before), None);
    assert_eq!(bench.after(10), [""; 0]);
    assert_eq!(bench.after(20), ["JOIN #a"]);
}

#[test]
fn we_do_not_stay_where_we_were_led() {
    let mut bench = Bench::with("whorl", true, |_| {});
    bench.tick();
    bench.on(":s 470 whorl #a ##elsewhere :Forwarding");
    bench.on(":whorl!u@h JOIN ##elsewhere");
    assert_eq!(bench.tick(), ["PART ##elsewhere"]);
    let error = bench.status().channels["#a"].error.clone();
    assert_eq!(error.as_deref(), Some("Forwarding (470)"));
}

#[test]
fn with_echo_a_line_is_taken_when_it_comes_back() {
    let mut bench = Bench::joined(true);
    let (mut first, mut second) = (bench.say("#a", "one"), bench.say("#b", "two words"));
    assert_eq!(bench.tick(), ["PRIVMSG #a one", "PRIVMSG #B :two words"]);
    bench.on(":other!u@h PRIVMSG #b :two words");
    bench.on("PONG s whorl-4");
    assert_eq!(answer(&mut second), None);
    bench.on(":whorl!u@h PRIVMSG #B :two words");
    assert_eq!(answer(&mut second), Some(Ok(())));
    assert_eq!(answer(&mut first), None);
    bench.on(":s 404 whorl #a :Cannot send to channel");
    let error = answer(&mut first).unwrap().unwrap_err();
    assert!(matches!(error, SayError::Muted { .. }) && error.may_try_again());
}

#[test]
fn with_echo_a_line_whose_words_were_changed_is_known_when_alone() {
    let mut bench = Bench::joined(true);
    let mut said = bench.say("#a", "a bad word");
    bench.tick();
    bench.on(":whorl!u@h PRIVMSG #a :a *** word");
    assert_eq!(answer(&mut said), Some(Ok(())));
}

#[test]
fn without_echo_a_line_is_taken_when_a_later_ping_is_answered() {
    let mut bench = Bench::joined(false);
    let mut said = bench.say("#a", "one");
    let sent = bench.tick();
    assert_eq!(sent[0], "PRIVMSG #a one");
    let token = sent[1].strip_prefix("PING ").unwrap().to_owned();
    bench.on("PONG s :whorl-999");
    bench.on("PONG s :whorl-alive");
    assert_eq!(answer(&mut said), None);
    bench.on(&format!(":s PONG s :{token}"));
    assert_eq!(answer(&mut said), Some(Ok(())));
}

#[test]
fn without_echo_a_refusal_before_the_answer_counts() {
    for (number, again) in [("404", true), ("442", true), ("401", false), ("403", false)] {
        let mut bench = Bench::joined(false);
        let (mut bad, mut good) = (bench.say("#a", "one"), bench.say("#b", "two"));
        let sent = bench.tick();
        let token = sent.last().unwrap().strip_prefix("PING ").unwrap();
        bench.on(&format!(":s {number} whorl #a :no"));
        bench.on(&format!(":s PONG s :{token}"));
        let error = answer(&mut bad).unwrap().unwrap_err();
        assert_eq!(error.may_try_again(), again, "{number}: {error}");
        assert!(!error.may_have_been_said());
        assert_eq!(answer(&mut good), Some(Ok(())));
    }
}

#[test]
fn without_echo_it_is_not_guessed_which_of_two_lines_was_refused() {
    let mut bench = Bench::joined(false);
    let (mut first, mut second) = (bench.say("#a", "one"), bench.say("#a", "two"));
    let sent = bench.tick();
    let token = sent.last().unwrap().strip_prefix("PING ").unwrap();
    bench.on(":s 404 whorl #a :no");
    bench.on(&format!(":s PONG s :{token}"));
    for said in [&mut first, &mut second] {
        let error = answer(said).unwrap().unwrap_err();
        assert!(error.may_have_been_said() && error.may_try_again());
    }
}

#[test]
fn one_question_stands_behind_several_lines() {
    let mut bench = Bench::joined(false);
    let mut all: Vec<Answer> = (0..9).map(|n| bench.say("#a", &n.to_string())).collect();
    let sent = bench.tick();
    let questions: Vec<usize> = (0..sent.len())
        .filter(|&n| sent[n].starts_with("PING"))
        .collect();
    assert_eq!(questions, [4]);
    bench.on(&format!("PONG s :{}", &sent[4]["PING ".len()..]));
    assert!(all[..4].iter_mut().all(|said| answer(said) == Some(Ok(()))));
    assert!(all[4..].iter_mut().all(|said| answer(said).is_none()));
    let sent = bench.tick();
    assert_eq!(sent.len(), 1);
    bench.on(&format!("PONG s :{}", &sent[0]["PING ".len()..]));
    assert!(all[4..].iter_mut().all(|said| answer(said) == Some(Ok(()))));
}

#[test]
fn a_long_text_is_taken_when_all_its_lines_are() {
    let mut bench = Bench::joined(true);
    let mut said = bench.say("#a", &"word ".repeat(150));
    let sent = bench.tick();
    assert_eq!(sent.len(), 2);
    assert!(sent.iter().all(|line| line.len() <= LINE), "{sent:?}");
    bench.on(&format!(":whorl!u@h {}", sent[0]));
    assert_eq!(answer(&mut said), None);
    bench.on(&format!(":whorl!u@h {}", sent[1]));
    assert_eq!(answer(&mut said), Some(Ok(())));
}

#[test]
fn what_the_server_says_nothing_about_is_given_up() {
    let mut bench = Bench::joined(true);
    let mut said = bench.say("#a", "x");
    bench.tick();
    bench.after(29);
    assert_eq!(answer(&mut said), None);
    bench.on("PING :still here");
    bench.after(2);
    let error = answer(&mut said).unwrap().unwrap_err();
    assert!(error.may_have_been_said() && error.may_try_again());
}

#[test]
fn the_end_of_a_connection_is_told_to_all_who_wait() {
    let mut bench = Bench::joined(true);
    let mut handed = bench.say("#a", "x");
    bench.tick();
    let mut waiting = bench.say("#a", "y");
    bench.session.end("gone");
    assert_eq!(
        answer(&mut handed).unwrap().unwrap_err(),
        SayError::Unconfirmed("gone".into())
    );
    assert_eq!(
        answer(&mut waiting).unwrap().unwrap_err(),
        SayError::NotConnected("gone".into())
    );
}

#[test]
fn lines_are_said_no_faster_than_allowed() {
    let mut bench = Bench::with("whorl", true, |s| {
        (s.burst, s.pace) = (3, Duration::from_secs(2));
    });
    assert_eq!(bench.tick(), ["JOIN #a", "JOIN #B"]);
    bench.on(":whorl!u@h JOIN #a");
    bench.on(":whorl!u@h JOIN #B");
    let _open: Vec<Answer> = (0..5).map(|n| bench.say("#a", &n.to_string())).collect();
    // The JOINs were two of the burst.
    assert_eq!(bench.tick(), ["PRIVMSG #a 0"]);
    assert_eq!(bench.session.next(), bench.now + Duration::from_secs(2));
    bench.on("PING :x");
    assert_eq!(bench.tick(), ["PONG x"]);
    assert_eq!(bench.after(1), [""; 0]);
    assert_eq!(bench.after(1), ["PRIVMSG #a 1"]);
    assert_eq!(bench.after(4), ["PRIVMSG #a 2", "PRIVMSG #a 3"]);
}

#[test]
fn what_cannot_be_said_is_told_at_once() {
    let mut bench = Bench::joined(true);
    let mut error =
        |channel: &str, text: &str| answer(&mut bench.say(channel, text)).unwrap().unwrap_err();
    assert_eq!(
        error("#other", "x"),
        SayError::UnknownChannel("#other".into())
    );
    assert_eq!(
        error("#a,#b", "x"),
        SayError::UnknownChannel("#a,#b".into())
    );
    assert_eq!(error("#a", " \r\n\u{2}"), SayError::Empty);
}

#[test]
fn hostile_text_stays_one_line_of_text() {
    let mut bench = Bench::with("whorl", true, |s| s.kind = Kind::Notice);
    bench.tick();
    bench.on(":whorl!u@h JOIN #a");
    let _said = bench.say("#a", "x\r\nQUIT :bye\n\u{1}VERSION\u{1}");
    assert_eq!(bench.tick(), ["NOTICE #a :x  QUIT :bye VERSION"]);
}

#[test]
fn the_wanted_nick_is_taken_back() {
    let mut bench = Bench::with("whorl_", true, |s| s.channels.clear());
    assert_eq!(bench.after(59), [""; 0]);
    bench.on("PING :x");
    assert_eq!(bench.after(1), ["PONG x", "NICK whorl"]);
    bench.on(":s 433 whorl_ whorl :in use");
    assert_eq!(bench.status().nick.as_deref(), Some("whorl_"));
    // Its owner leaves before the next try is due.
    bench.on(":WHORL!u@h QUIT :bye");
    assert_eq!(bench.tick(), ["NICK whorl"]);
    bench.on(":whorl_!u@h NICK :whorl");
    assert_eq!(bench.status().nick.as_deref(), Some("whorl"));
    assert!(!bench.after(61).contains(&"NICK whorl".to_owned()));
}

#[test]
fn lines_to_us_are_heard() {
    let mut bench = Bench::joined(true);
    for line in [
        "@account=alice :al!u@h PRIVMSG #a :whorl: status",
        ":al!u@h PRIVMSG #b :WHORL, why \u{2}this",
        ":al!u@h PRIVMSG whorl :help",
        ":al!u@h PRIVMSG #a :!whorl why unit",
        ":al!u@h PRIVMSG #a :!Whorl",
        // Not to us, or not by a person.
        ":al!u@h PRIVMSG #a :whorls are nice",
        ":al!u@h PRIVMSG #a :status",
        ":al!u@h PRIVMSG #a :!whorls status",
        ":al!u@h PRIVMSG #a :whorl",
        ":al!u@h PRIVMSG #other :whorl: status",
        ":al!u@h NOTICE #a :whorl: status",
        ":irc.test PRIVMSG whorl :status",
        ":al!u@h PRIVMSG whorl :\u{1}VERSION\u{1}",
        ":whorl!u@h PRIVMSG #a :whorl: status",
    ] {
        bench.on(line);
    }
    let heard = bench.session.take_incoming();
    let short: Vec<_> = heard
        .iter()
        .map(|i| (i.channel.as_deref(), i.account.as_deref(), i.text.as_str()))
        .collect();
    assert_eq!(
        short,
        [
            (Some("#a"), Some("alice"), "status"),
            (Some("#B"), None, "why this"),
            (None, None, "help"),
            (Some("#a"), None, "why unit"),
            (Some("#a"), None, ""),
        ]
    );
    assert_eq!(bench.tick(), [""; 0]);
}

#[test]
fn other_names_than_the_nick_are_heard_when_they_are_configured() {
    let mut bench = Bench::with("whorl", true, |settings| settings.also = vec!["ci".into()]);
    bench.on(":whorl!u@h JOIN #a");
    for text in ["ci: status", "!ci status", "cis: status"] {
        bench.on(&format!(":al!u@h PRIVMSG #a :{text}"));
    }
    let heard = bench.session.take_incoming();
    assert_eq!(heard.len(), 2);
    assert!(heard.iter().all(|one| one.text == "status"));
}

#[test]
fn a_person_is_answered_alone_and_may_be_gone() {
    for echo in [true, false] {
        let mut bench = Bench::joined(echo);
        bench.tick();
        let mut to = |nick: &str| {
            let (reply, answer) = oneshot::channel();
            bench.session.say_to(nick, &["one".to_owned()], reply);
            answer
        };
        let (mut said, mut wrong) = (to("Al[x]"), [to("#a"), to("a,b"), to(""), to("a b")]);
        for one in &mut wrong {
            assert!(matches!(
                answer(one),
                Some(Err(SayError::UnknownChannel(_)))
            ));
        }
        let sent = bench.tick();
        assert_eq!(sent[0], "PRIVMSG al{x} one", "{sent:?}");
        bench.on(":irc.test 401 whorl al{x} :No such nick");
        if !echo {
            assert_eq!(answer(&mut said), None);
            bench.on(&format!(
                "PONG irc.test {}",
                sent[1].trim_start_matches("PING ")
            ));
        }
        let error = answer(&mut said).unwrap().unwrap_err();
        assert!(matches!(error, SayError::Refused { .. }), "{error}");
    }
}

#[test]
fn a_silent_server_is_asked_and_then_given_up() {
    let mut bench = Bench::joined(true);
    assert_eq!(bench.after(89), [""; 0]);
    assert_eq!(bench.session.next(), bench.now + Duration::from_secs(1));
    assert_eq!(bench.after(1), ["PING whorl-alive"]);
    bench.on("PONG s whorl-alive");
    assert_eq!(bench.after(90), ["PING whorl-alive"]);
    bench.now += Duration::from_secs(30);
    assert!(bench.session.tick(bench.now).is_err());
}

#[test]
fn an_error_and_a_logout_end_the_connection() {
    let mut bench = Bench::with("whorl", true, |s| {
        s.sasl = Some(Sasl::Plain {
            account: "a".into(),
            password: "b".into(),
        });
    });
    for (line, said) in [
        (
            "ERROR :Closing link: Excess Flood",
            "Closing link: Excess Flood",
        ),
        (
            ":s 901 whorl whorl!u@h :You are now logged out",
            "the server has logged us out",
        ),
    ] {
        let message = Message::parse(line).unwrap();
        let error = bench.session.on(&message, bench.now).unwrap_err();
        assert_eq!(error.to_string(), said);
    }
}
