//! The annotated reference: `deploy/config/gateway.toml` is what this prints. Every key stands there with its
//! default, out of effect, so that the file as it is means the same as no file.

use std::fmt::Write;

use super::schema::{Kind, TABLES, Table};

const HEAD: &str = "\
# Kitgate: every option with its default.
#
# Nothing is in effect until its # is taken away.
# Texts may hold ${VAR} and ${VAR:-default}; $${ is a literal ${. Sizes: 64MiB, 1GB, 4096. Times: 30s, 1m30s, 200ms.
# Check a file with: kitgate check --config FILE
";

/// The reference.
pub fn reference() -> String {
    let mut out = String::from(HEAD);
    for table in TABLES {
        out.push('\n');
        write_table(table, &mut out);
    }
    out
}

fn write_table(table: &Table, out: &mut String) {
    comment(table.help, out);
    if !table.path.is_empty() {
        // An empty table changes nothing, so its name may stand without a #.
        writeln!(out, "[{}]", table.path).expect("BUG: writing to a String cannot fail");
    }
    for (index, key) in table.keys.iter().enumerate() {
        if index > 0 && !key.help.is_empty() {
            out.push('\n');
        }
        comment(key.help, out);
        if let Kind::Integer { min, max } = key.kind {
            writeln!(out, "# From {min} to {max}.").expect("BUG: writing to a String cannot fail");
        }
        let note = if key.example { " # an example" } else { "" };
        writeln!(out, "#{} = {}{note}", key.name, key.default).expect("BUG: writing to a String cannot fail");
    }
}

fn comment(text: &str, out: &mut String) {
    for line in text.lines() {
        out.push_str("# ");
        out.push_str(line.trim_start());
        out.push('\n');
    }
}
