use super::*;
use proptest::prelude::*;
use std::time::{Duration, Instant};

/// What must go, between `«` and `»`; the rest must stay. Built of parts, so that nobody who looks for
/// secrets in sources finds one here.
fn secret_texts() -> Vec<String> {
    let a20 = "aB3dE5fG7hJ9kL1mN2pQ";
    let a36 = "aB3dE5fG7hJ9kL1mN2pQ4rS6tU8vW0xY1zA3";
    let hex = "9f86d081884c7d659a2feaa0c55ad015";
    let jwt = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dBjftJeZ4CVP-mB92K27";
    [
        format!("git clone with «ghp_{a36}» failed"),
        format!("GITHUB says «gho_{a36}»"),
        format!("actions: «ghs_{a36}», done"),
        format!("pat «github_pat_{a20}_{a36}»"),
        format!("gitlab «glpat-{a20}» is revoked"),
        format!("runner «glrt-{a20}»"),
        format!("slack «xoxb-123456789012-{a20}»"),
        format!("app «xapp-1-A01-{a20}»"),
        format!("POST https://hooks.slack.com/services/«T0000/B0000/{a20}» 404"),
        "key «AKIAIOSFODNN7EXAMPLE» is not active".into(),
        "id=«ASIAIOSFODNN7EXAMPLE»,".into(),
        format!("aws_secret_access_key = «{a36}/x+1»"),
        format!("got «{jwt}» from the gate"),
        format!("X-Auth-Token: «gAAAAAB{a36}»"),
        format!("X-Auth-Token: «{hex}»"),
        format!("Authorization: Bearer «{a36}»"),
        "Authorization: Basic «dXNlcjpwYXNzd29yZA==»".into(),
        format!("\"authorization\": \"token «{a36}»\""),
        format!("sent bearer «{a36}» twice"),
        "GET https://user:«hunter2»@example.org/x 500".into(),
        "amqp rabbit://stackrabbit:«secretrabbit»@10.0.0.1:5672/".into(),
        "mysql+pymysql://root:«p%40ss:w0rd»@127.0.0.1/nova?charset=utf8".into(),
        format!("cloning https://«{a36}»@github.com/o/r"),
        format!("https://b.example.org/f?Expires=1&Signature=«{a36}»&x=1"),
        format!("https://s3.example.org/l?X-Amz-Signature=«{hex}»"),
        "password=«hunter2»".into(),
        "OS_PASSWORD=«nomoresecret»".into(),
        "admin_password: «geheim»".into(),
        "{\"password\": \"«correct horse battery»\", \"user\": \"ann\"}".into(),
        "{'adminPass': u'«Zq8vR2kLm5Xw7TbN»'}".into(),
        "secret: «abc»".into(),
        format!("api_key: «{a20}»"),
        format!("API-Key=«{a20}»"),
        format!("client_secret => \"«{a20}»\""),
        format!("token: «{hex}»"),
        format!("session_id=«{a20}»;"),
        "Set-Cookie: «sid=31d4d96e407aad42; Path=/; HttpOnly»".into(),
        "openstack --os-password «nomoresecret» server list".into(),
        format!("whorl --api-token=«{a20}» serve"),
        "curl -s -u ann:«hunter2» https://example.org".into(),
        "sshpass -p «hunter2» ssh root@node".into(),
        "mysql -uroot -p«stackdb» -h127.0.0.1 nova".into(),
        "root:«$6$rounds4096$Zm9vYmFyYmF6cXV4eHh5$abcdEFGH»:0:0".into(),
        "userPassword is «{SSHA}DkMTwBl+a/3DQTxCYEApdUtNXGgdUac3»".into(),
        "before\n«-----BEGIN RSA PRIVATE KEY-----\nMIIEow\nabc=\n-----END RSA PRIVATE KEY-----»\nafter"
            .into(),
        "before «-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEA and no end»".into(),
        format!("cut\n«{a36}{a36}\n{a36}=\n-----END PRIVATE KEY-----»\nafter"),
        format!("npm error «npm_{a36}»"),
        "passphrase for the key: 'ok', passphrase='«open sesame»'".into(),
        "ldap bind pwd:=«s3cr3t», next".into(),
    ]
    .into()
}

/// What must stay as it is.
const HARMLESS: [&str; 56] = [
    "commit 5ef9f24c1a2b3c4d5e6f708192a3b4c5d6e7f809",
    "HEAD is now at 78df0a1 Give sources a desk",
    "Merge: 328997c 6a6807b",
    "index 83db48f..bf2a1c9 100644",
    "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "Instance 6c84fb90-12c4-11e1-840d-7b25c5ee775a failed to spawn",
    "[instance: 9b1deb4d-3b7d-4bad-9bdd-2b0d7b3dcb6d] Build of instance aborted",
    "req-0a9b8c7d-6e5f-4a3b-2c1d-0e9f8a7b6c5d admin admin",
    "Change-Id: I5ef9f24c1a2b3c4d5e6f708192a3b4c5d6e7f809",
    "image: quay.io/org/app@sha256:9f86d081884c7d659a2feaa0c55ad015",
    "payload SGVsbG8gV29ybGQsIHRoaXMgaXMgbm90aGluZyBzZWNyZXQ=",
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJ",
    "/opt/stack/nova/nova/virt/libvirt/driver.py:1234",
    "File \"/usr/lib/python3.12/site-packages/keystoneauth1/session.py\", line 986, in request",
    "logs/controller/etc/keystone/fernet-keys/0",
    "C:\\Users\\ann\\passwords\\README.txt is missing",
    "Invalid password: expected a longer one",
    "password: required",
    "Password is wrong for user ann",
    "The password must not be empty.",
    "password=None",
    "password=***",
    "password: '****'",
    "password=$ADMIN_PASSWORD",
    "password=${ADMIN_PASSWORD}",
    "auth.Password(password=self.password)",
    "password=CONF.keystone_authtoken.password",
    "password=<hidden>",
    "secret: null",
    "Could not find secret in barbican",
    "no such secret",
    "the API key is missing",
    "api_key: undefined",
    "Unexpected token } in JSON at position 12",
    "syntax error near unexpected token `fi'",
    "token: expired",
    "Token authentication failed for request",
    "The request you have made requires authentication. (HTTP 401)",
    "WWW-Authenticate: Bearer realm=x",
    "uses bearer authentication-of-the-service",
    "basic configuration of the network",
    "Authorization failed: not allowed",
    "ssh://git@github.com/o/r.git",
    "https://review.opendev.org/c/openstack/nova/+/1234/2",
    "git@github.com:openstack/nova.git",
    "http://[::1]:8080/v3/auth/tokens",
    "connecting to tcp://10.0.0.1:5672 as guest",
    "author: Ann Example <ann@example.org>",
    "author_email=ann.example@example.org",
    "authors: openstack-discuss",
    "keystone.auth.plugins.password: loading plugin",
    "keystoneauth1.exceptions.auth.AuthorizationFailure",
    "test_password_history_not_enforced_in_admin_reset [0.123s] ok",
    "bypass=true compass=north",
    "-----BEGIN CERTIFICATE-----\nMIIBszCCAVmgAwIBAgIUQ\n-----END CERTIFICATE-----",
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJl3dIeudNqd0DPMRD6OIh65tjkxFNOtGcWGB2gCgPhk ann@laptop",
];

fn redactor() -> Redactor {
    let all = Redactor::new([]).unwrap();
    assert_eq!(
        all.rules.len(),
        rules::RULES.len(),
        "every rule is well formed"
    );
    all
}

#[test]
fn secrets_go_and_what_is_round_them_stays() {
    let redactor = redactor();
    let texts = secret_texts();
    assert!(texts.len() >= 40);
    let mut wrong = Vec::new();
    for text in &texts {
        let (before, rest) = text.split_once('«').unwrap();
        let (secret, after) = rest.split_once('»').unwrap();
        let left = redactor.text(&format!("{before}{secret}{after}"));
        let whole = left
            .strip_prefix(before)
            .and_then(|l| l.strip_suffix(after));
        if !whole.is_some_and(|mark| mark.starts_with("[redacted ") && mark.ends_with(']')) {
            wrong.push(format!("{text}\n    {left}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_no_secret_stays_readable() {
    let redactor = redactor();
    let changed = HARMLESS.iter().filter(|text| redactor.text(text) != **text);
    let changed: Vec<String> = changed
        .map(|text| format!("{text}\n    {}", redactor.text(text)))
        .collect();
    assert!(changed.is_empty(), "{}", changed.join("\n"));
}

#[test]
fn an_operator_adds_rules_by_name() {
    let own = [("customer", r"\bcust-(\d+)"), ("host", "[a-z]+\\.intern")];
    let redactor = Redactor::new(own).unwrap();
    assert_eq!(
        redactor.text("cust-12345 on db.intern, cust-x"),
        "cust-[redacted customer] on [redacted host], cust-x"
    );
    let wrong = |pattern| Redactor::new([("mine", pattern)]).unwrap_err().to_string();
    insta::assert_snapshot!(wrong("(?=x)"), @"rule mine: error: look-around, including look-ahead and look-behind, is not supported");
    insta::assert_snapshot!(wrong("x*"), @"rule mine: it also matches nothing at all");
}

#[test]
fn spans_follow_their_text_or_are_dropped() {
    let excerpt = "password=hunter2 then é boom\nbang";
    let at = |word: &str| {
        let from = excerpt.find(word).unwrap();
        (from, from + word.len())
    };
    let place = Evidence {
        file: "f".into(),
        line: 1,
        offset: 0,
        excerpt: excerpt.into(),
        spans: vec![
            at("hunter2"),
            at("ter2 then"),
            at("é boom"),
            at("bang"),
            (9, 9_999),
        ],
    };
    let left = redactor().evidence(&place);
    assert_eq!(
        left.excerpt,
        "password=[redacted password] then é boom\nbang"
    );
    let shown: Vec<&str> = left
        .spans
        .iter()
        .map(|&(a, b)| &left.excerpt[a..b])
        .collect();
    assert_eq!(shown, ["é boom", "bang"]);
}

#[test]
fn a_hostile_line_of_a_megabyte_takes_no_longer_than_it_must() {
    let redactor = redactor();
    let time = |piece: &str, bytes: usize| {
        let text = piece.repeat(bytes / piece.len());
        let begun = Instant::now();
        let left = redactor.text(&text);
        assert!(!left.is_empty());
        begun.elapsed()
    };
    for piece in [
        "a",
        "password=",
        "password",
        "-----BEGIN PRIVATE KEY-----",
        "eyJ",
        "a://b:",
        "token:=",
        "mysql ",
        "A1b2",
        "AAAA= ",
        " -u a:",
        "cookie:",
        "é",
        "$6$",
        "authorization: a=",
        "\n",
    ] {
        let (small, large) = (time(piece, 1 << 17), time(piece, 1 << 20));
        // Eight times as long; a quadratic rule would take sixty-four times as long.
        let most = small * 24 + Duration::from_millis(500);
        assert!(large < most, "{piece:?}: {small:?}, then {large:?}");
    }
}

proptest! {
    #[test]
    fn any_text_is_taken(text in r"(?s)(.{0,40}|password[=: ]|é|://|@|ghp_|[A-Za-z0-9+/=]{0,60}|\n){0,12}", spans in prop::collection::vec((0_usize..400, 0_usize..400), 0..4)) {
        let place = Evidence { file: "f".into(), line: 1, offset: 0, excerpt: text.clone(), spans };
        let redactor = redactor();
        let left = redactor.evidence(&place);
        for (from, to) in &left.spans {
            prop_assert!(left.excerpt.get(*from..*to).is_some());
        }
        let whole = redactor.redact(&text);
        for at in 0..=text.len() + 1 {
            prop_assert!(whole.at(at) <= whole.text.len());
        }
        if whole.text == text {
            prop_assert!(whole.cuts.is_empty());
        }
    }
}

#[test]
fn a_secret_in_a_line_goes_from_the_line_too() {
    let redactor = Redactor::default();
    assert!(redactor.trigger.is_some());
    let texts = secret_texts();
    for text in texts.iter().filter(|text| !text.contains('\n')) {
        let plain = text.replace(['«', '»'], "");
        let line = LineRedactor::new(&redactor).line(plain.as_bytes());
        assert_eq!(line, Some(redactor.text(&plain)), "{text}");
    }
    for text in HARMLESS {
        assert_eq!(
            LineRedactor::new(&redactor).line(text.as_bytes()),
            None,
            "{text}"
        );
    }
}

#[test]
fn a_key_of_many_lines_goes_and_leaves_as_many() {
    let redactor = Redactor::default();
    let long = "aB3dE5fG7hJ9kL1mN2pQ4rS6tU8vW0xY1zA3bC5dE7fG9hJ1kL3mN5pQ7rS9tU1v";
    let log = format!(
        "before\n10:00 | -----BEGIN RSA PRIVATE KEY-----\n10:00 | {long}\n10:00 | {long}\n\
         10:00 | abc=\n10:00 | -----END RSA PRIVATE KEY-----\nafter is here\n\
         -----BEGIN PRIVATE KEY----- is what it begins with\nand this stays"
    );
    let lines: Vec<String> = log.lines().map(str::to_owned).collect();
    let of = |from: usize, to: usize| redactor.lines(lines[from..to].to_vec());
    let all = of(0, lines.len());
    assert_eq!(all.len(), lines.len());
    assert_eq!(
        (&*all[0], &*all[6], &*all[8]),
        ("before", "after is here", "and this stays")
    );
    assert!(
        !all.join("\n").contains("abc=") && !all.join("\n").contains(long),
        "{all:?}"
    );
    for (from, to) in [(2, 9), (3, 7), (4, 6), (0, 3), (0, 4)] {
        let some = of(from, to);
        assert_eq!(some.len(), to - from);
        let text = some.join("\n");
        assert!(
            !text.contains("abc=") && !text.contains(long),
            "{from}: {some:?}"
        );
    }
    assert_eq!(of(6, 7), ["after is here"]);
}

#[test]
fn a_line_without_a_secret_costs_little() {
    let redactor = Redactor::default();
    let line = "2026-11-21 10:00:00.123 | controller | nova-compute[71]: DEBUG oslo.service Looking up instance 5ef9f24c on node-7 took 0.3 s";
    let took = |work: &mut dyn FnMut()| {
        // The first time builds what the expressions need.
        work();
        let begun = Instant::now();
        for _ in 0..1_000 {
            work();
        }
        begun.elapsed()
    };
    let mut lines = LineRedactor::new(&redactor);
    let quick = took(&mut || assert_eq!(lines.line(line.as_bytes()), None));
    let all = took(&mut || assert_eq!(redactor.redact(line).text, line));
    assert!(
        quick * 3 < all,
        "{quick:?} with the filter, {all:?} without"
    );
}
