//! Requests as they come, against what is let through.

use super::*;
use crate::http1::{HeadLimits, HeadOutcome, HeaderSlots, parse_head};
use crate::intake;

/// Parses a head and lends it.
pub(super) fn with_head<T>(line: &str, headers: &[(&str, &str)], then: impl FnOnce(&Head<'_>) -> T) -> T {
    let mut text = format!("{line} HTTP/1.1\r\nHost: h\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    let mut slots = HeaderSlots::new();
    match parse_head(text.as_bytes(), &mut slots, &HeadLimits::default()) {
        Ok(HeadOutcome::Complete { head, .. }) => then(&head),
        other => panic!("{text}: {other:?}"),
    }
}

fn settings(access: Options, compat: Compat) -> Settings {
    Settings::new(intake::Options { compat, access, ..intake::Options::default() })
}

/// The answer to a refused request, if it is refused.
fn refused(
    line: &str,
    headers: &[(&str, &str)],
    peer: &Peer,
    settings: &Settings,
) -> Option<(Reason, u16, String)> {
    with_head(line, headers, |head| {
        let path = crate::http1::target::decode_path(head.path).unwrap();
        let limiter = settings.options.access.rate.map(RateLimiter::new);
        let result = check(head, &path, peer, 0, settings, limiter.as_ref());
        result.err().map(|(reason, reply)| (reason, reply.status, String::from_utf8(reply.body).unwrap()))
    })
}

#[test]
fn what_is_not_public_is_for_this_machine_alone() {
    let settings = settings(Options::of(Compat::Documented), Compat::Documented);
    let local = Peer::Ip([127, 0, 0, 1].into());
    let outside = Peer::Ip([192, 0, 2, 1].into());
    for peer in
        [local, Peer::Ip("::1".parse().unwrap()), Peer::Ip("::ffff:127.0.0.9".parse().unwrap()), Peer::Unix]
    {
        assert_eq!(refused("GET /metrics", &[], &peer, &settings), None);
        for header in ["X-Forwarded-For", "x-real-ip"] {
            let claim = refused("GET /metrics", &[(header, "127.0.0.1")], &peer, &settings);
            assert_eq!(claim.map(|(_, status, _)| status), Some(403), "{header} by {peer:?}");
        }
    }
    let body = "{\"error_code\":\"datakit.publicAccessDisabled\",\"message\":\"api /a/b c disabled from external IP, \
                only loopback(localhost) allowed\"}";
    assert_eq!(
        refused("GET /a%2Fb%20c?x=1", &[], &outside, &settings),
        Some((Reason::NotPublic, 403, body.to_owned())),
        "a path nobody knows, and it is the decoded one"
    );
    assert_eq!(refused("POST /v1/write/metric", &[], &outside, &settings), None);
    assert_eq!(
        refused("OPTIONS /metrics", &[], &outside, &settings),
        None,
        "a preflight is never asked about"
    );
}

#[test]
fn past_the_rate_agents_of_the_documents_keep_their_data() {
    let one = Rate { per_s: 1.0, burst: 1, ttl: rate::TTL_DEFAULT };
    for (compat, status, retry_after) in
        [(Compat::Documented, 503, Some("1")), (Compat::Datakit184, 429, None)]
    {
        let settings = settings(Options { rate: Some(one), ..Options::of(compat) }, compat);
        let limiter = RateLimiter::new(one);
        let peer = Peer::Ip([192, 0, 2, 1].into());
        let ask = |line: &str| {
            with_head(line, &[], |head| {
                let path = crate::http1::target::decode_path(head.path).unwrap();
                check(head, &path, &peer, 0, &settings, Some(&limiter))
            })
        };
        assert!(ask("POST /v1/write/metric").is_ok());
        let (reason, reply) = ask("POST /v1/write/metric").unwrap_err();
        assert_eq!((reason, reply.status, reply.nosniff), (Reason::TooMany, status, true));
        assert_eq!(reply.body, br#"{"error_code":"datakit.reachMaxAPILimit"}"#);
        let header = reply.headers.iter().find(|(name, _)| *name == "Retry-After").map(|(_, value)| &**value);
        assert_eq!(header, retry_after);
        // Another route has a bucket of its own, and what collectors register has none.
        assert!(ask("POST /v1/write/logging").is_ok());
        for _ in 0..3 {
            for line in ["POST /v1/write/rum", "POST /v1/write/rum/replay", "POST /v1/write/logstreaming"] {
                assert!(ask(line).is_ok(), "{line}");
            }
            assert!(ask("OPTIONS /v1/write/metric").is_ok());
        }
    }
}

#[test]
fn only_a_short_body_of_known_length_is_read_past() {
    for (headers, expected) in [
        (&[][..], true),
        (&[("Content-Length", "262144")][..], true),
        (&[("Content-Length", "262145")][..], false),
        (&[("Content-Length", "10"), ("Expect", "100-continue")][..], false),
        (&[("Transfer-Encoding", "chunked")][..], false),
    ] {
        assert_eq!(with_head("POST /v1/write/metric", headers, may_skip), expected, "{headers:?}");
    }
}
