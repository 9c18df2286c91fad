//! The page for what nobody knows.

use crate::intake::{Clock, ContentType, Reply, Settings};

use super::ping::go_duration;

/// With `disable_404page`: the status alone.
pub fn reply(clock: &Clock, settings: &Settings) -> Reply {
    let options = &settings.options;
    if options.disable_404page {
        return Reply::empty(404);
    }
    let mut page = String::with_capacity(1024);
    page.push_str(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <title>DataWay Endpoint</title>\n</head>\n<body>\n<h1>Welcome to use DataKit.</h1>\n<ul>\n",
    );
    let system = format!("{}/{}", std::env::consts::OS, std::env::consts::ARCH);
    let uptime = go_duration(clock.uptime);
    for (name, value) in [
        ("Version", options.version.as_str()),
        ("OS/Arch", &system),
        ("ReleaseAt", &options.release_at),
        ("Uptime", &uptime),
    ] {
        page.push_str("<li>");
        page.push_str(name);
        page.push_str(": ");
        push_escaped(&mut page, value);
        page.push_str("</li>\n");
    }
    page.push_str("</ul>\n</body>\n</html>\n");
    Reply {
        content_type: ContentType::Value("text/html".into()),
        body: page.into_bytes(),
        ..Reply::empty(404)
    }
}

fn push_escaped(page: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '&' => page.push_str("&amp;"),
            '<' => page.push_str("&lt;"),
            '>' => page.push_str("&gt;"),
            '"' => page.push_str("&quot;"),
            _ => page.push(character),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::intake::Options;

    #[test]
    fn the_page_says_what_is_running_and_can_be_switched_off() {
        let clock = Clock { now_ns: 0, uptime: Duration::from_secs(61) };
        let options = Options { version: "1<2".to_owned(), ..Options::default() };
        let page = reply(&clock, &Settings::new(options.clone()));
        let text = String::from_utf8(page.body).unwrap();
        assert!(text.contains("<title>DataWay Endpoint</title>"));
        assert!(text.contains("Version: 1&lt;2") && text.contains("Uptime: 1m1s"));
        let page = reply(&clock, &Settings::new(Options { disable_404page: true, ..options }));
        assert_eq!((page.status, page.body.len(), page.content_type), (404, 0, ContentType::None));
    }
}
