//! The functions of the language: for each a check, which runs once and works out all that does not change, and what is left
//! to do in a run.

mod aggregate;
mod cache;
mod cast;
mod create;
mod decode;
mod geo;
mod grok;
mod group;
mod http;
mod json;
mod keys;
mod lists;
mod md5;
mod pt_kvs;
mod regex;
mod sample;
mod strfmt;
mod tables;
mod text;
mod time;
mod web;
mod window;
mod xml;

use std::fmt;

use super::{
    ast::Expr,
    compile::{Call, Checker, described},
    error::Error,
    node::Run,
    value::Value,
    vm::Vm,
};

/// A call, ready to run.
pub type Prepared = Result<Box<dyn Run>, Error>;

/// Checks a call and makes what will run.
pub type Prepare = fn(&mut Checker<'_>, &mut Call<'_>) -> Prepared;

/// By name.
const FUNCS: &[(&str, Prepare)] = &[
    ("add_key", keys::add_key),
    ("add_pattern", grok::add_pattern),
    ("adjust_timezone", time::adjust_timezone),
    ("agg_create", aggregate::agg_create),
    ("agg_metric", aggregate::agg_metric),
    ("append", lists::append),
    ("b64dec", text::b64dec),
    ("b64enc", text::b64enc),
    ("cache_get", cache::cache_get),
    ("cache_set", cache::cache_set),
    ("cast", cast::cast),
    ("cidr", text::cidr),
    ("conv_traceid_w3c_to_dd", text::conv_traceid_w3c_to_dd),
    ("cover", text::cover),
    ("create_point", create::create_point),
    ("datetime", time::datetime),
    ("decode", decode::decode),
    ("default_time", time::default_time),
    ("default_time_with_fmt", time::default_time_with_fmt),
    ("delete", lists::delete),
    ("drop", keys::drop),
    ("drop_key", keys::drop_key),
    ("drop_origin_data", keys::drop_origin_data),
    ("duration_precision", time::duration_precision),
    ("exit", keys::exit),
    ("format_int", cast::format_int),
    ("geoip", geo::geoip),
    ("get_key", keys::get_key),
    ("gjson", json::gjson),
    ("grok", grok::grok),
    ("group_between", group::group_between),
    ("group_in", group::group_in),
    ("hash", text::hash),
    ("http_request", http::http_request),
    ("json", json::json),
    ("json_all", keys::json_all),
    ("kv_split", regex::kv_split),
    ("len", lists::len),
    ("load_json", json::load_json),
    ("lowercase", text::lowercase),
    ("match", regex::match_text),
    ("mquery_refer_table", tables::mquery_refer_table),
    ("nullif", keys::nullif),
    ("parse_date", time::parse_date),
    ("parse_duration", time::parse_duration),
    ("parse_int", cast::parse_int),
    ("point_window", window::point_window),
    ("pt_kvs_del", pt_kvs::del),
    ("pt_kvs_get", pt_kvs::get),
    ("pt_kvs_keys", pt_kvs::keys),
    ("pt_kvs_set", pt_kvs::set),
    ("pt_name", keys::pt_name),
    ("query_refer_table", tables::query_refer_table),
    ("rename", keys::rename),
    ("replace", regex::replace),
    ("sample", sample::sample),
    ("set_measurement", keys::set_measurement),
    ("set_tag", keys::set_tag),
    ("setopt", keys::setopt),
    ("slice_string", text::slice_string),
    ("sql_cover", text::sql_cover),
    ("strfmt", strfmt::strfmt),
    ("strlen", lists::strlen),
    ("timestamp", time::timestamp),
    ("trim", text::trim),
    ("uppercase", text::uppercase),
    ("url_decode", web::url_decode),
    ("url_parse", web::url_parse),
    ("use", create::use_script),
    ("user_agent", web::user_agent),
    ("vaild_json", json::valid_json),
    ("valid_json", json::valid_json),
    ("value_type", cast::value_type),
    ("window_hit", window::window_hit),
    ("xml", xml::xml),
];

pub fn find(name: &str) -> Option<Prepare> {
    let at = FUNCS.binary_search_by(|(known, _)| (*known).cmp(name)).ok()?;
    FUNCS.get(at).map(|(_, prepare)| *prepare)
}

/// The names of all functions there are.
pub fn names() -> impl Iterator<Item = &'static str> {
    FUNCS.iter().map(|(name, _)| *name)
}

/// A call as what it needs and what it does with it.
struct Op<S, F> {
    state: S,
    run: F,
}

impl<S, F> Run for Op<S, F>
where
    S: Send + Sync + fmt::Debug,
    F: for<'r> Fn(&'r S, &mut Vm<'r>) -> Result<Value<'r>, Error> + Send + Sync,
{
    fn run<'r>(&'r self, vm: &mut Vm<'r>) -> Result<Value<'r>, Error> {
        (self.run)(&self.state, vm)
    }
}

impl<S: fmt::Debug, F> fmt::Debug for Op<S, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.state.fmt(f)
    }
}

fn op<S, F>(state: S, run: F) -> Prepared
where
    S: Send + Sync + fmt::Debug + 'static,
    F: for<'r> Fn(&'r S, &mut Vm<'r>) -> Result<Value<'r>, Error> + Send + Sync + 'static,
{
    Ok(Box::new(Op { state, run }))
}

/// The error that a call has the wrong number of arguments.
fn count<T>(checker: &Checker<'_>, call: &Call<'_>, message: &str) -> Result<T, Error> {
    Err(checker.error(call.pos, message))
}

/// The error of an argument that is no literal text, or the text.
fn text_literal(checker: &Checker<'_>, arg: Option<&Expr>) -> Result<String, Error> {
    match arg {
        Some(Expr::Str { value, .. }) => Ok(String::from_utf8_lossy(value).into_owned()),
        arg => {
            let (pos, what) = described(arg);
            Err(checker.error(pos, format!("expect StringLiteral, got {what}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted() {
        assert!(FUNCS.is_sorted_by(|left, right| left.0 < right.0));
    }
}
