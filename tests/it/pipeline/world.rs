//! What recorded scripts were given of the world: a clock, a database of addresses, tables, a server.

use std::{
    cell::Cell,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, LazyLock},
};

use kitgate::{
    aside::scripts::{Asker, REQUEST_TIMEOUT},
    config::HttpRequestSettings,
    pipeline::{
        lib::time::Zone,
        outside::{HttpRequest, HttpResponse, Place},
        state::tables::Tables,
        vm::Host,
    },
};
use serde_json::Value;

use super::TIME;

/// The world of a case.
pub struct World {
    /// Its stop signal: some polls stand for the given time.
    pub polls_left: Cell<Option<u32>>,
    pub zone: Zone,
    pub tables: Option<Tables>,
    pub has_places: bool,
}

impl Default for World {
    fn default() -> World {
        World { polls_left: Cell::new(None), zone: Zone::UTC, tables: None, has_places: false }
    }
}

impl World {
    pub fn of(case: &Value) -> Result<World, String> {
        let needs =
            |what: &str| case["needs"].as_array().is_some_and(|needs| needs.iter().any(|need| need == what));
        let zone = Zone::named(case["tz"].as_str().unwrap_or_default()).ok_or("no such zone")?;
        let document = case["refer_table"].to_string();
        let tables = needs("refer_table").then(|| Tables::read(document.as_bytes())).transpose()?;
        Ok(World { polls_left: Cell::new(None), zone, tables, has_places: needs("ipdb") })
    }
}

impl Host for World {
    fn now_ns(&self) -> i64 {
        TIME
    }

    fn stopped(&self) -> bool {
        let Some(left) = self.polls_left.get() else { return false };
        self.polls_left.set(Some(left.saturating_sub(1)));
        left == 0
    }

    fn zone(&self) -> &Zone {
        &self.zone
    }

    fn tables(&self, look: &mut dyn FnMut(&Tables)) {
        if let Some(tables) = &self.tables {
            look(tables);
        }
    }

    fn place(&self, ip: &str) -> Option<Place> {
        let place = |country: &str, province: &str, city: &str, isp: &str| Place {
            country: country.into(),
            province: province.into(),
            city: city.into(),
            isp: isp.into(),
        };
        match ip {
            _ if !self.has_places => None,
            "116.228.89.206" => Some(place("CN", "Shanghai", "Shanghai", "chinanet")),
            "8.8.8.8" => Some(place("US", "California", "Mountain View", "unknown")),
            "10.0.0.1" => Some(place("", "", "", "")),
            _ => None,
        }
    }

    fn http(&self, request: &HttpRequest<'_>) -> Option<HttpResponse> {
        static ASKER: LazyLock<Asker> = LazyLock::new(|| Asker::new(&HttpRequestSettings::default()));
        ASKER.ask(request, REQUEST_TIMEOUT)
    }
}

/// Where the server of all cases is.
pub fn http_base() -> &'static str {
    static BASE: LazyLock<String> = LazyLock::new(|| {
        let listener = Arc::new(TcpListener::bind("127.0.0.1:0").unwrap());
        let base = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                std::thread::spawn(move || answer(stream));
            }
        });
        base
    });
    &BASE
}

/// Reference tables, for the tests of the real program.
const TABLES: &str = r#"[{"table_name": "users", "column_name": ["id", "name"], "column_type": ["int", "string"],
    "row_data": [[1, "one"], [2, "two"]]}]"#;

/// `METHOD|<X-Test header>|<body>`, and 404 without a body for `/404`. One request a connection.
fn answer(mut stream: TcpStream) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut first = String::new();
    reader.read_line(&mut first).unwrap();
    let (mut test, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let Some((name, value)) = line.trim().split_once(':') else { break };
        match name.to_ascii_lowercase().as_str() {
            "x-test" => test = value.trim().to_owned(),
            "content-length" => length = value.trim().parse().unwrap(),
            "transfer-encoding" => panic!("a body without a length"),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let mut words = first.split(' ');
    let (method, path) = (words.next().unwrap(), words.next().unwrap());
    let (status, text) = match path {
        "/404" => ("404 Not Found", String::new()),
        "/tables" => ("200 OK", TABLES.to_owned()),
        _ => ("200 OK", format!("{method}|{test}|{}", String::from_utf8(body).unwrap())),
    };
    let length = text.len();
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    stream.write_all((head + &text).as_bytes()).unwrap();
}
