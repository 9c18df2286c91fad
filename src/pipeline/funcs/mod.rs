//! The functions of the language: for each a check, which runs once and works out all that does not change, and what is
//! left
//! to do in a run.

mod cast;
mod create;
mod group;
mod keys;
mod lists;
mod md5;
mod pt_kvs;
mod text;

use std::fmt;

use super::{
    compile::{Call, Checker},
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
    ("append", lists::append),
    ("b64dec", text::b64dec),
    ("b64enc", text::b64enc),
    ("cast", cast::cast),
    ("cidr", text::cidr),
    ("conv_traceid_w3c_to_dd", text::conv_traceid_w3c_to_dd),
    ("cover", text::cover),
    ("create_point", create::create_point),
    ("delete", lists::delete),
    ("drop", keys::drop),
    ("drop_key", keys::drop_key),
    ("drop_origin_data", keys::drop_origin_data),
    ("exit", keys::exit),
    ("format_int", cast::format_int),
    ("get_key", keys::get_key),
    ("group_between", group::group_between),
    ("group_in", group::group_in),
    ("hash", text::hash),
    ("json_all", keys::json_all),
    ("len", lists::len),
    ("lowercase", text::lowercase),
    ("nullif", keys::nullif),
    ("parse_int", cast::parse_int),
    ("pt_kvs_del", pt_kvs::del),
    ("pt_kvs_get", pt_kvs::get),
    ("pt_kvs_keys", pt_kvs::keys),
    ("pt_kvs_set", pt_kvs::set),
    ("pt_name", keys::pt_name),
    ("rename", keys::rename),
    ("set_measurement", keys::set_measurement),
    ("set_tag", keys::set_tag),
    ("setopt", keys::setopt),
    ("slice_string", text::slice_string),
    ("strlen", lists::strlen),
    ("trim", text::trim),
    ("uppercase", text::uppercase),
    ("use", create::use_script),
    ("value_type", cast::value_type),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted() {
        assert!(FUNCS.is_sorted_by(|left, right| left.0 < right.0));
    }
}
