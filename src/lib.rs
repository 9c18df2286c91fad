//! Kitgate, an ingest gateway: agents send points over HTTP, it checks and encodes them, makes them durable, answers,
//! and uploads them.
//!
//! # Bird's-eye view
//!
//! One thread a core (a *shard*), each with its own listeners, connections, parsers and open blocks. On the way of a
//! point nothing is shared and nothing is locked; a core is crossed at one place, and there in batches.
//!
//! ```text
//! socket → http1 → intake → codec → point ──────→ lane's open block → ring → spool → upload → destination
//!          parse   route    decode  check, encode  seal: compress, crc        commit  package
//!                                                                  │             │
//! answer ←───────────────────── ticket ←──────────── report ←──────┴─ ack=memory └─ ack=disk, ack=upstream
//! ```
//!
//! **Parsed once, encoded once, compressed once.** Lines are read into a flat tape, each point is checked and written
//! from the tape straight into its lane's open block as the protobuf bytes that will be uploaded; JSON and protobuf
//! bodies are written there as they are read. A sealed block is
//! compressed once and never looked into again: it is a frame on disk and a part of an upload body, by its bytes.
//!
//! **What is to be passed on as it came is not parsed at all.** A session replay is a *raw package*: its request is the
//! block, one frame on disk and one request upstream, under its own headers, counted as one point.
//!
//! **What is passed on with more tags is taken apart beside the shards.** A profile, thirty megabytes of it or a few hundred
//! kilobytes, is read and put together anew on a thread for long work, its files byte for byte; then it is a raw package as well.
//!
//! **Every other protocol becomes the same tape.** Traces, OTLP, Prometheus and the like are read in place into what the
//! lines' parser gives, whole bodies at a time, and answered in their own words ([`intake::convert`]).
//!
//! **Points can be rewritten by scripts.** A script of the DataKit pipeline language is compiled once and run over one point at
//! a time, in bounded steps and memory, between its checks and its encoding ([`pipeline`]). Where a category has no script that
//! costs one look at a flag, and where others have one a line's point that has none stays on the fast way.
//!
//! **What takes long is done aside.** Questions to the destination, source maps, dial tests and `/metrics` cross to threads of
//! their own ([`aside`]), bounded in number; a shard never waits for anybody.
//!
//! **Blocks form by themselves.** While one commit is on its way to the disk the next block fills. A block is sealed
//! when it is full, when a commit has ended, or when the sockets have nothing more to give. There is no timer.
//!
//! **An answer is a promise.** A 2xx is sent when the points have reached the level that was asked for: in the ring,
//! synced to disk (the default), or taken by the destination. Past that level nothing is lost without being counted.
//!
//! # The life of a request
//!
//! | # | stage | starts in | gets | gives | may refuse with |
//! |---|---|---|---|---|---|
//! | 1 | accept | [`net::accept`], [`net::transport`] | a socket | a connection, its client known, TLS agreed | 503, too many connections; without a word where it does not come to a request |
//! | 2 | parse request | [`net::conn`], [`http1::head`], [`http1::body`] | bytes | a head, a whole body | 400, 408, 413, 414, 417, 431, 501, 505, and the connection ends |
//! | 3 | admit, route | [`intake::access`], [`intake::route`] | a head | what is to be done | 403, 429, 503 before the body is read; the protocol's own answer |
//! | 4 | decode | [`codec::content_encoding`], [`codec::line_protocol`], [`codec::json`], [`intake::convert`] | a body | lines, or what another protocol brings: a tape of views into it | 413 for a bomb; 400, every bad line named |
//! | 5 | check, encode | [`point::encode`] | the tape, or the JSON or protobuf itself | protobuf in the open block | 400 in strict mode |
//! | 6 | seal, push | [`shard::lanes`] | the open block | a block in its category's ring | 503 when there is no room for some seconds |
//! | 7 | commit | [`shard::home`], [`spool`] | blocks | frames on disk, tickets | 503 when the spool is full or the disk fails |
//! | 8 | package, send | [`upload`] | frames | requests, and the cursor moves behind their answers | nothing: retry, pause, split, set aside, dead letter |
//! | 9 | sink | [`sink`] | a package | request bytes; an answer's meaning | – |
//!
//! The path of one request on one screen is [`shard::ingest`]; what a core owns is built in [`shard`].
//!
//! **Nobody waits for somebody else's trouble.** What a destination refuses for what is in it is halved until the points it
//! minds are alone, and those become dead letters. What fails again and again while others pass, a refused token's points,
//! and copies for a destination that is down go to *side lanes*, small logs beside the category's own. After an outage the
//! backlog lies aside, fresh frames go first, and it follows at a pace.
//!
//! # Invariants
//!
//! - *Data moves down the list of stages, imports down the tiers, neither turns back.* Five tiers: `main`, `app` and
//!   `shard` join; `net`, `spool`, `upload`, `admin` and `aside` run; `intake`, `pipeline` and `sink` translate; `http1`, `codec`, `point`
//!   and `ring` represent; `buf`, `simd`, `limits`, `metrics`, `config` and `rt` are what all stand on. A folder imports
//!   from tiers below its own (`upload` also reads from `spool`, `intake` runs `pipeline`). A test reads the sources and says so.
//! - The three lower tiers, [`rt`] apart, have no sockets, files, clocks or threads: `now` is an argument.
//! - Only [`rt`] names the executor. Only the two upper tiers use `rt`.
//! - The spool knows frames and not points, the front of a connection knows HTTP and no protocol, an intake knows
//!   neither rings nor disks, a sink neither sockets nor clocks.
//! - A frame is immutable from its seal on. A package keeps its id from the moment its boundaries are noted on disk,
//!   and they are noted before it is first sent: over retries, restarts and changes of destination the same points
//!   never get a second id.
//! - An acknowledged sector is never rewritten. A sync that failed is never repeated as if nothing had happened.
//! - Points taken + copied = spooled + delivered + dead + given up (with a reason), per category and token, exactly: the
//!   sums stand in the cursors beside what they belong to, and so hold over restarts and crashes too.
//! - One process owns a data directory, by a lock of the kernel. An upgrade hands over the listening sockets first and the
//!   directory last; a reload puts a whole configuration in force, or nothing of it.
//! - Every bound is a named constant, or a setting with one as its default. Overload is 503 with Retry-After for
//!   DataKit senders, never a 4xx: agents throw away what is answered with any 4xx.
//! - Tokens appear in no log, error, metric or page: they live in types that print as stars.
//! - `unsafe` lives in `simd`, `buf`, `ring`, `rt` and the line protocol's and the encoder's vector code, each block
//!   with its argument and a plain counterpart that tests compare against.

// The stages, in the order in which data flows through them.
pub mod app;
pub mod shard;
pub mod net;
pub mod http1;
pub mod intake;
pub mod pipeline;
pub mod codec;
pub mod point;
pub mod ring;
pub mod spool;
pub mod upload;
pub mod sink;

// What the stages stand on.
pub mod admin;
pub mod aside;
pub mod buf;
pub mod config;
pub mod limits;
pub mod metrics;
pub mod rt;
pub mod simd;
