//! Reference tables: `query_refer_table` and `mquery_refer_table`.
//!
//! They are read from one JSON document and never changed; a new document takes the place of all of them. Every column
//! has an order of the rows by its values (four bytes a row), so that a look-up is a search by halves.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::sync::Arc;

use arc_swap::{ArcSwapOption, Guard};
use serde::Deserialize;
use serde_json::Value as Json;

use crate::pipeline::{
    number::{parse_bool, parse_float},
    value::Value,
};

/// Of one document.
pub const TABLES_MAX: usize = 1_024;
pub const CELLS_MAX: usize = 1 << 22;

/// A document, read.
#[derive(Debug, Default)]
pub struct Tables {
    /// By name.
    tables: Vec<Table>,
}

#[derive(Debug)]
pub struct Table {
    name: String,
    columns: Vec<Column>,
    rows: usize,
}

#[derive(Debug)]
struct Column {
    name: String,
    cells: Cells,
    /// Rows by value; of equal ones the first row comes first.
    order: Vec<u32>,
}

/// The values of a column.
#[derive(Debug)]
enum Cells {
    Int(Vec<i64>),
    Float(Vec<f64>),
    Str(Vec<Box<str>>),
    Bool(Vec<bool>),
}

/// A table as it is written.
#[derive(Deserialize)]
struct Written {
    table_name: String,
    column_name: Vec<String>,
    column_type: Vec<String>,
    #[serde(default)]
    row_data: Vec<Vec<Json>>,
}

impl Tables {
    /// Reads a document: all of it is good, or none of it counts. Of equal names the first table counts.
    pub fn read(document: &[u8]) -> Result<Tables, String> {
        let written: Vec<Written> =
            serde_json::from_slice(document).map_err(|error| format!("cannot be read: {error}"))?;
        if written.len() > TABLES_MAX {
            return Err(format!("holds more than {TABLES_MAX} tables"));
        }
        let cells: usize = written.iter().flat_map(|table| &table.row_data).map(Vec::len).sum();
        if cells > CELLS_MAX {
            return Err(format!("holds more than {CELLS_MAX} values"));
        }
        let mut tables: Vec<Table> = Vec::with_capacity(written.len());
        for written in written {
            let name = written.table_name.clone();
            let table = Table::of(written).map_err(|reason| format!("table {name:?}: {reason}"))?;
            if tables.iter().all(|known| known.name != table.name) {
                tables.push(table);
            }
        }
        tables.sort_by(|left, right| left.name.cmp(&right.name));
        Ok(Tables { tables })
    }

    pub fn find(&self, name: &[u8]) -> Option<&Table> {
        let at = self.tables.binary_search_by(|table| table.name.as_bytes().cmp(name)).ok()?;
        self.tables.get(at)
    }

    pub fn len(&self) -> usize {
        self.tables.len()
    }

    pub fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }

    /// The rows of all tables.
    pub fn rows(&self) -> usize {
        self.tables.iter().map(|table| table.rows).sum()
    }
}

/// The rows among which one is looked for.
#[derive(Clone, Copy, Debug)]
pub struct Candidates<'t> {
    table: &'t Table,
    rows: &'t [u32],
}

impl Candidates<'_> {
    /// How many rows there are to look at, at most.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The first row that equals all of `wanted`.
    pub fn first(&self, wanted: &[(&[u8], Value<'_>)]) -> Option<usize> {
        let columns: Option<Vec<_>> =
            wanted.iter().map(|(name, value)| Some((self.table.column(name)?, *value))).collect();
        let columns = columns?;
        let fits = |row: usize| {
            columns.iter().all(|(column, value)| column.cells.compare(row, *value) == Some(Ordering::Equal))
        };
        self.rows.iter().map(|&row| row as usize).find(|&row| fits(row))
    }
}

impl Table {
    fn of(written: Written) -> Result<Table, String> {
        let Written { table_name: name, column_name, column_type, row_data } = written;
        if name.is_empty() {
            return Err("it has no name".to_owned());
        }
        if column_name.is_empty() || column_name.len() != column_type.len() {
            let (names, types) = (column_name.len(), column_type.len());
            return Err(format!("{names} names of columns and {types} types"));
        }
        if let Some(row) = row_data.iter().position(|row| row.len() != column_name.len()) {
            return Err(format!("row {} does not have {} values", row + 1, column_name.len()));
        }
        let mut known = HashSet::new();
        if let Some(twice) = column_name.iter().find(|name| !known.insert(name.as_str())) {
            return Err(format!("two columns {twice:?}"));
        }
        let rows = row_data.len();
        let mut columns = Vec::with_capacity(column_name.len());
        for (at, (name, kind)) in column_name.iter().zip(&column_type).enumerate() {
            let values = row_data.iter().filter_map(|row| row.get(at));
            let cells = Cells::of(kind, values).map_err(|reason| format!("column {name:?}: {reason}"))?;
            // CELLS_MAX keeps rows far below 2^32.
            let mut order: Vec<u32> = (0..rows as u32).collect();
            order.sort_by(|&left, &right| cells.order(left as usize, right as usize));
            columns.push(Column { name: name.clone(), cells, order });
        }
        Ok(Table { name, columns, rows })
    }

    fn column(&self, name: &[u8]) -> Option<&Column> {
        self.columns.iter().find(|column| column.name.as_bytes() == name)
    }

    /// The rows by the column that leaves the fewest. None where a column is missing or a value has another type.
    pub fn candidates(&self, wanted: &[(&[u8], Value<'_>)]) -> Option<Candidates<'_>> {
        let mut fewest: Option<&[u32]> = None;
        for (name, value) in wanted {
            let rows = self.column(name)?.equal(*value)?;
            if fewest.is_none_or(|fewest| rows.len() < fewest.len()) {
                fewest = Some(rows);
            }
        }
        fewest.map(|rows| Candidates { table: self, rows })
    }

    /// A row, by column.
    pub fn row(&self, row: usize) -> impl Iterator<Item = (&str, Value<'_>)> {
        self.columns.iter().map(move |column| (column.name.as_str(), column.cells.value(row)))
    }
}

impl Column {
    /// The rows with that value, in their order; none where the value is of another type.
    fn equal(&self, value: Value<'_>) -> Option<&[u32]> {
        // Asked once for its type, so that an empty table tells types apart as well.
        self.cells.takes(value).then_some(())?;
        let compare = |row: &u32| self.cells.compare(*row as usize, value).unwrap_or(Ordering::Less);
        let start = self.order.partition_point(|row| compare(row) == Ordering::Less);
        let rows = self.order.get(start..)?;
        let length = rows.partition_point(|row| compare(row) == Ordering::Equal);
        rows.get(..length)
    }
}

impl Cells {
    fn of<'j>(kind: &str, values: impl Iterator<Item = &'j Json>) -> Result<Cells, String> {
        fn all<'j, T>(
            values: impl Iterator<Item = &'j Json>,
            convert: impl Fn(&Json) -> Option<T>,
        ) -> Result<Vec<T>, String> {
            let mut converted = Vec::new();
            for (row, value) in values.enumerate() {
                let value = convert(value)
                    .ok_or_else(|| format!("the value of row {} is of another type", row + 1))?;
                converted.push(value);
            }
            Ok(converted)
        }
        Ok(match kind {
            "int" => Cells::Int(all(values, int)?),
            "float" => Cells::Float(all(values, float)?),
            "string" => Cells::Str(all(values, text)?),
            "bool" => Cells::Bool(all(values, truth)?),
            other => return Err(format!("no such type: {other:?}")),
        })
    }

    fn takes(&self, value: Value<'_>) -> bool {
        matches!(
            (self, value),
            (Cells::Int(_), Value::Int(_))
                | (Cells::Float(_), Value::Float(_))
                | (Cells::Str(_), Value::Str(_))
                | (Cells::Bool(_), Value::Bool(_))
        )
    }

    fn compare(&self, row: usize, value: Value<'_>) -> Option<Ordering> {
        Some(match (self, value) {
            (Cells::Int(cells), Value::Int(value)) => cells.get(row)?.cmp(&value),
            // -0.0 and 0.0 are one number; in a table there is no NaN, and one that is asked for equals nothing.
            (Cells::Float(cells), Value::Float(value)) => cells.get(row)?.partial_cmp(&value)?,
            (Cells::Str(cells), Value::Str(value)) => cells.get(row)?.as_bytes().cmp(value),
            (Cells::Bool(cells), Value::Bool(value)) => cells.get(row)?.cmp(&value),
            _ => return None,
        })
    }

    fn order(&self, left: usize, right: usize) -> Ordering {
        self.compare(left, self.value(right)).unwrap_or(Ordering::Equal)
    }

    fn value(&self, row: usize) -> Value<'_> {
        let value = match self {
            Cells::Int(cells) => cells.get(row).map(|value| Value::Int(*value)),
            Cells::Float(cells) => cells.get(row).map(|value| Value::Float(*value)),
            Cells::Str(cells) => cells.get(row).map(|value| Value::Str(value.as_bytes())),
            Cells::Bool(cells) => cells.get(row).map(|value| Value::Bool(*value)),
        };
        value.unwrap_or(Value::Nil)
    }
}

fn int(value: &Json) -> Option<i64> {
    match value {
        Json::Number(number) => number.as_i64().or_else(|| number.as_f64().map(|value| value as i64)),
        Json::String(text) => text.parse().ok(),
        Json::Bool(value) => Some(i64::from(*value)),
        _ => None,
    }
}

fn float(value: &Json) -> Option<f64> {
    match value {
        Json::Number(number) => number.as_f64(),
        Json::String(text) => parse_float(text.as_bytes()).filter(|value| value.is_finite()),
        Json::Bool(value) => Some(f64::from(u8::from(*value))),
        _ => None,
    }
}

fn text(value: &Json) -> Option<Box<str>> {
    match value {
        Json::String(text) => Some(text.as_str().into()),
        Json::Number(number) => Some(number.to_string().into()),
        Json::Bool(value) => Some(value.to_string().into()),
        _ => None,
    }
}

fn truth(value: &Json) -> Option<bool> {
    match value {
        Json::Bool(value) => Some(*value),
        Json::Number(number) => number.as_f64().map(|value| value != 0.0),
        Json::String(text) => parse_bool(text.as_bytes()),
        _ => None,
    }
}

/// The tables of now: read by every shard, replaced by whoever fetches them.
#[derive(Debug, Default)]
pub struct LiveTables(ArcSwapOption<Tables>);

impl LiveTables {
    /// What holds now, for the length of some runs.
    pub fn load(&self) -> Guard<Option<Arc<Tables>>> {
        self.0.load()
    }

    /// Puts others in place, or none.
    pub fn store(&self, tables: Option<Tables>) {
        self.0.store(tables.map(Arc::new));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = r#"[
        {"table_name": "t", "column_name": ["id", "name", "score", "ok"],
         "column_type": ["int", "string", "float", "bool"],
         "row_data": [[1, "a", 1.5, true], [2, "b", "2.5", "false"], ["3", "a", 3, 1], [2, 7, -0.0, "T"]]},
        {"table_name": "t", "column_name": ["k"], "column_type": ["string"], "row_data": [["x"]]},
        {"table_name": "empty", "column_name": ["k"], "column_type": ["int"], "row_data": []}
    ]"#;

    fn first(tables: &Tables, table: &str, wanted: &[(&str, Value<'_>)]) -> Option<usize> {
        let wanted: Vec<_> = wanted.iter().map(|(name, value)| (name.as_bytes(), *value)).collect();
        tables.find(table.as_bytes())?.candidates(&wanted)?.first(&wanted)
    }

    #[test]
    fn the_first_row_that_fits_is_found() {
        let tables = Tables::read(DOCUMENT.as_bytes()).unwrap();
        assert_eq!((tables.len(), tables.rows()), (2, 4));
        let find = |wanted: &[(&str, Value<'_>)]| first(&tables, "t", wanted);
        assert_eq!(find(&[("id", Value::Int(2))]), Some(1));
        assert_eq!(find(&[("name", Value::Str(b"a"))]), Some(0));
        assert_eq!(find(&[("name", Value::Str(b"7"))]), Some(3));
        assert_eq!(find(&[("name", Value::Str(b"a")), ("id", Value::Int(3))]), Some(2));
        assert_eq!(find(&[("id", Value::Int(2)), ("ok", Value::Bool(true))]), Some(3));
        assert_eq!(find(&[("score", Value::Float(0.0))]), Some(3));
        for nothing in [
            &[("id", Value::Str(b"2"))][..],
            &[("score", Value::Int(3))],
            &[("score", Value::Float(f64::NAN))],
            &[("id", Value::Int(9))],
            &[("no", Value::Int(1))],
            &[("id", Value::Int(1)), ("name", Value::Str(b"b"))],
            &[("id", Value::Int(1)), ("name", Value::Nil)],
            &[],
        ] {
            assert_eq!(find(nothing), None, "{nothing:?}");
        }
        assert_eq!(first(&tables, "empty", &[("k", Value::Int(1))]), None);
        assert_eq!(first(&tables, "none", &[("k", Value::Int(1))]), None);
        let row: Vec<String> = tables.find(b"t").unwrap().row(1).map(|cell| format!("{cell:?}")).collect();
        assert_eq!(
            row,
            ["(\"id\", Int(2))", "(\"name\", Str([98]))", "(\"score\", Float(2.5))", "(\"ok\", Bool(false))"]
        );
    }

    #[test]
    fn a_document_is_good_as_a_whole_or_not_at_all() {
        let table = |names: &str, types: &str, rows: &str| {
            let text = format!(
                "[{{\"table_name\":\"t\",\"column_name\":{names},\"column_type\":{types},\"row_data\":{rows}}}]"
            );
            Tables::read(text.as_bytes()).map(|tables| tables.rows())
        };
        assert_eq!(table("[\"a\"]", "[\"int\"]", "[[1]]"), Ok(1));
        for (names, types, rows, reason) in [
            ("[\"a\"]", "[\"int\"]", "[[\"x\"]]", "row 1 is of another type"),
            ("[\"a\"]", "[\"int\"]", "[[1],[null]]", "row 2 is of another type"),
            ("[\"a\"]", "[\"date\"]", "[]", "no such type"),
            ("[\"a\"]", "[\"int\",\"int\"]", "[]", "1 names of columns and 2 types"),
            ("[]", "[]", "[]", "0 names"),
            ("[\"a\"]", "[\"int\"]", "[[1,2]]", "row 1 does not have 1 values"),
            ("[\"a\",\"a\"]", "[\"int\",\"int\"]", "[]", "two columns"),
        ] {
            let error = table(names, types, rows).unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
        for text in ["", "{}", "[{}]", "null", "[1]"] {
            assert!(Tables::read(text.as_bytes()).is_err(), "{text}");
        }
        assert_eq!(Tables::read(b"[]").map(|tables| tables.is_empty()), Ok(true));
    }

    #[test]
    fn large_tables_are_searched_by_halves() {
        let rows: Vec<String> = (0..50_000).map(|n| format!("[{},\"n{}\"]", n / 2, n % 100)).collect();
        let text = format!(
            "[{{\"table_name\":\"t\",\"column_name\":[\"id\",\"name\"],\"column_type\":[\"int\",\"string\"],\
             \"row_data\":[{}]}}]",
            rows.join(",")
        );
        let tables = Tables::read(text.as_bytes()).unwrap();
        for n in 0..25_000_i64 {
            assert_eq!(first(&tables, "t", &[("id", Value::Int(n))]), Some(2 * n as usize));
        }
        let both = [(&b"name"[..], Value::Str(b"n7")), (&b"id"[..], Value::Int(53))];
        let candidates = tables.find(b"t").unwrap().candidates(&both).unwrap();
        assert_eq!((candidates.len(), candidates.first(&both)), (2, Some(107)));
    }
}
