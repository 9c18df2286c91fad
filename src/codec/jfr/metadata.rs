//! The metadata of a chunk: a table of texts, and a tree of elements whose names and attributes are in it.
//!
//! ```text
//! root
//!   metadata
//!     class     id, name, superType?, simpleType?
//!       field   name, class, constantPool?, dimension?
//!         annotation   class (as jdk.jfr.Timespan), value
//! ```

use std::borrow::Cow;
use std::collections::HashMap;

use super::Error;
use super::reader::Reader;

/// Elements of one tree: JDK 17 has ten thousand.
const ELEMENTS_MAX: usize = 1 << 18;
/// Attributes of all of them.
const ATTRIBUTES_MAX: usize = 1 << 20;
/// Texts of the table: JDK 17 has two thousand.
const TEXTS_MAX: usize = 1 << 17;
/// Elements inside each other: five, and some for what a newer version may add.
const DEPTH_MAX: usize = 16;

/// What a field is on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Bool,
    Byte,
    Char,
    Short,
    Int,
    Long,
    Float,
    Double,
    Text,
    /// A number that stands for something in a constant pool.
    Pool,
    /// The fields of the class with this id, one after the other.
    Struct(i64),
}

/// What a number has to be multiplied by, or otherwise made of it, to be nanoseconds or bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    AsIs,
    Times(i64),
    Bits,
    SpanInTicks,
    TimeInTicks,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Field {
    /// Its place among the texts.
    name: usize,
    pub(super) kind: Kind,
    pub(super) list: bool,
    pub(super) unit: Unit,
}

#[derive(Debug)]
pub(super) struct Class<'a> {
    pub(super) id: i64,
    name: Cow<'a, str>,
    pub(super) fields: Vec<Field>,
}

impl Class<'_> {
    pub(super) fn name(&self) -> &str {
        &self.name
    }
}

#[derive(Debug)]
pub(super) struct Metadata<'a> {
    texts: Vec<Cow<'a, str>>,
    classes: HashMap<i64, Class<'a>>,
}

/// An element of the tree; texts are places in the table.
#[derive(Debug, Default)]
struct Element {
    name: usize,
    attributes: Vec<(usize, usize)>,
    children: Vec<Element>,
}

impl<'a> Metadata<'a> {
    /// Reads the event that holds the metadata.
    pub(super) fn read(mut reader: Reader<'a>) -> Result<Metadata<'a>, Error> {
        if reader.long()? != 0 {
            return Err(Error::Malformed("something else where the metadata should be"));
        }
        // Start, duration, and a number of its own.
        for _ in 0..3 {
            reader.long()?;
        }
        let len = reader.len()?;
        if len > TEXTS_MAX {
            return Err(Error::TooLarge("texts"));
        }
        let mut texts = Vec::new();
        for _ in 0..len {
            texts.push(reader.text()?);
        }
        let mut tree = Tree { reader, texts: &texts, elements: 0, attributes: 0 };
        let root = tree.element(0)?;
        let mut elements = Vec::new();
        let named = |element: &Element, name: &str| texts[element.name] == name;
        for metadata in root.children.iter().filter(|element| named(element, "metadata")) {
            elements.extend(metadata.children.iter().filter(|element| named(element, "class")));
        }
        // Fields name classes that may come later.
        let mut names = HashMap::new();
        for element in &elements {
            names.insert(element.id(&texts, "id")?, element.text(&texts, "name"));
        }
        let mut classes = HashMap::new();
        for element in elements {
            let id = element.id(&texts, "id")?;
            let fields = element.children.iter().filter(|child| named(child, "field"));
            let fields = fields.map(|field| field.as_field(&texts, &names)).collect::<Result<_, _>>()?;
            let name = Cow::Owned(element.text(&texts, "name").to_owned());
            classes.insert(id, Class { id, name, fields });
        }
        Ok(Metadata { texts, classes })
    }

    /// Several may have one name, of several class loaders.
    pub(super) fn classes(&self) -> impl Iterator<Item = &Class<'a>> {
        self.classes.values()
    }

    pub(super) fn class(&self, id: i64) -> Result<&Class<'a>, Error> {
        self.classes.get(&id).ok_or(Error::Malformed("a class that is not there"))
    }

    pub(super) fn is_named(&self, field: &Field, name: &str) -> bool {
        self.texts.get(field.name).is_some_and(|text| text == name)
    }
}

/// Reads elements, and counts them.
struct Tree<'t, 'a> {
    reader: Reader<'a>,
    texts: &'t [Cow<'a, str>],
    elements: usize,
    attributes: usize,
}

impl Tree<'_, '_> {
    fn element(&mut self, depth: usize) -> Result<Element, Error> {
        self.elements += 1;
        if self.elements > ELEMENTS_MAX || depth == DEPTH_MAX {
            return Err(Error::TooLarge("elements in its metadata"));
        }
        let mut element = Element { name: self.place()?, ..Element::default() };
        let attributes = self.reader.len()?;
        self.attributes += attributes;
        if self.attributes > ATTRIBUTES_MAX {
            return Err(Error::TooLarge("attributes in its metadata"));
        }
        for _ in 0..attributes {
            element.attributes.push((self.place()?, self.place()?));
        }
        for _ in 0..self.reader.len()? {
            element.children.push(self.element(depth + 1)?);
        }
        Ok(element)
    }

    /// The place of a text, which is there.
    fn place(&mut self) -> Result<usize, Error> {
        let place = usize::try_from(self.reader.int()?).ok().filter(|place| *place < self.texts.len());
        place.ok_or(Error::Malformed("a text that is not there"))
    }
}

impl Element {
    fn text<'t>(&self, texts: &'t [Cow<'_, str>], key: &str) -> &'t str {
        let found = self.attributes.iter().find(|(name, _)| texts[*name] == key);
        found.map_or("", |(_, value)| texts[*value].as_ref())
    }

    fn id(&self, texts: &[Cow<'_, str>], key: &str) -> Result<i64, Error> {
        self.text(texts, key).parse().map_err(|_| Error::Malformed("a class without a number"))
    }

    fn as_field(&self, texts: &[Cow<'_, str>], names: &HashMap<i64, &str>) -> Result<Field, Error> {
        let class = self.id(texts, "class")?;
        let kind = if self.text(texts, "constantPool") == "true" {
            Kind::Pool
        } else {
            match *names.get(&class).ok_or(Error::Malformed("a class that is not there"))? {
                "boolean" => Kind::Bool,
                "byte" => Kind::Byte,
                "char" => Kind::Char,
                "short" => Kind::Short,
                "int" => Kind::Int,
                "long" => Kind::Long,
                "float" => Kind::Float,
                "double" => Kind::Double,
                "java.lang.String" => Kind::Text,
                _ => Kind::Struct(class),
            }
        };
        let mut unit = Unit::AsIs;
        for annotation in self.children.iter().filter(|child| texts[child.name] == "annotation") {
            let name = names.get(&annotation.id(texts, "class")?).copied().unwrap_or_default();
            let value = annotation.text(texts, "value");
            unit = match (name, value) {
                ("jdk.jfr.Timespan", "TICKS") => Unit::SpanInTicks,
                ("jdk.jfr.Timespan", "MICROSECONDS") => Unit::Times(1_000),
                ("jdk.jfr.Timespan", "MILLISECONDS") => Unit::Times(1_000_000),
                ("jdk.jfr.Timespan", "SECONDS") => Unit::Times(1_000_000_000),
                ("jdk.jfr.Timestamp", "TICKS") => Unit::TimeInTicks,
                ("jdk.jfr.Timestamp", "MILLISECONDS_SINCE_EPOCH") => Unit::Times(1_000_000),
                ("jdk.jfr.DataAmount", "BITS") => Unit::Bits,
                _ => unit,
            };
        }
        let name = self.attributes.iter().find(|(name, _)| texts[*name] == "name");
        let name = name.map_or(usize::MAX, |(_, value)| *value);
        Ok(Field { name, kind, list: !matches!(self.text(texts, "dimension"), "" | "0"), unit })
    }
}
