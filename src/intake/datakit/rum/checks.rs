//! What a RUM point must have. The first one that has it not refuses the whole body.

use crate::intake::{Compat, Options};
use crate::point::pb::{self, PbPoint, PbValue};

/// Where an SDK tells about itself. Its first line is sent before it knows its application.
const TELEMETRY: &[u8] = b"telemetry";

/// Looks at encoded points. The error is the message for the sender, without the brackets that
/// [`refused`](super::refused) puts around it.
pub fn check(points: &[u8], options: &Options) -> Result<(), String> {
    for point in pb::points(points) {
        // What the encoder wrote can be read.
        let point = point.map_err(|error| error.to_string())?;
        check_point(&point, options)?;
    }
    Ok(())
}

fn check_point(point: &PbPoint<'_>, options: &Options) -> Result<(), String> {
    let (mut app_id, mut sdk_name): (Option<&[u8]>, Option<&[u8]>) = (None, None);
    for field in point.fields() {
        let field = field.map_err(|error| error.to_string())?;
        let text = match field.value {
            PbValue::Str(text) => Some(text),
            _ => None,
        };
        match field.key {
            b"app_id" => app_id = text,
            b"sdk_name" => sdk_name = text,
            _ => {}
        }
    }
    let rum = &options.rum;
    // The recorded server refuses the SDK's own telemetry, and with it what was sent in the same body.
    let is_excused = point.name == TELEMETRY && app_id.is_none() && options.compat == Compat::Documented;
    if !is_excused {
        let Some(app_id) = app_id else { return Err("invalid key \"app_id\"".to_owned()) };
        if !rum.app_ids.is_empty() && !rum.app_ids.iter().any(|known| known.as_bytes() == app_id) {
            return Err("error code [datakit.RUMApp_idNotInTheWhiteList], http code [403], \
                        err: RUM app_id not in the white list"
                .to_owned());
        }
    }
    if !rum.measurements.iter().any(|known| known.as_bytes() == point.name) {
        let name = String::from_utf8_lossy(point.name);
        return Err(format!(
            "unknown RUM measurement: {name}, err: error code [datakit.unknownRUMMeasurement], http code [400], \
             err: unknown RUM measurement"
        ));
    }
    if point.name == b"error" && sdk_name.is_none() {
        return Err("invalid key \"sdk_name\"".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::point::draft::{DraftKv, Value};
    use crate::point::wire;

    /// A point with these strings, and those of an empty value as numbers.
    fn point(name: &str, strings: &[(&str, &str)]) -> Vec<u8> {
        let mut out = Vec::new();
        wire::put_message(&mut out, wire::POINTS_POINT, |out| {
            wire::put_bytes(out, wire::POINT_NAME, name.as_bytes());
            for (key, value) in strings {
                let value = match *value {
                    "" => Value::Int(1),
                    text => Value::Str(text.as_bytes().into()),
                };
                DraftKv::field(key.as_bytes(), value).encode(out);
            }
        });
        out
    }

    fn options(compat: Compat) -> Options {
        Options { compat, ..Options::default() }
    }

    #[test]
    fn points_are_refused_in_the_recorded_order_and_words() {
        let mut options = options(Compat::Datakit184);
        let app = ("app_id", "a");
        let no_app = Err("invalid key \"app_id\"".to_owned());
        assert_eq!(check(&point("view", &[app]), &options), Ok(()));
        assert_eq!(check(&point("view", &[]), &options), no_app);
        assert_eq!(check(&point("view", &[("app_id", "")]), &options), no_app);
        assert_eq!(check(&point("foo", &[]), &options), no_app);
        assert_eq!(
            check(&point("foo", &[app]), &options).unwrap_err(),
            "unknown RUM measurement: foo, err: error code [datakit.unknownRUMMeasurement], http code [400], \
             err: unknown RUM measurement"
        );
        assert_eq!(check(&point("error", &[app]), &options).unwrap_err(), "invalid key \"sdk_name\"");
        assert_eq!(check(&point("error", &[("sdk_name", "s"), app]), &options), Ok(()));
        let both = [point("view", &[app]), point("view", &[])].concat();
        assert_eq!(check(&both, &options), no_app, "one bad point among good ones");

        options.rum.app_ids = vec!["b".to_owned()];
        assert_eq!(
            check(&point("foo", &[app]), &options).unwrap_err(),
            "error code [datakit.RUMApp_idNotInTheWhiteList], http code [403], err: RUM app_id not in the white list"
        );
        assert_eq!(check(&point("view", &[("app_id", "b")]), &options), Ok(()));
    }

    #[test]
    fn telemetry_without_an_application_passes_where_the_documents_rule() {
        let telemetry = point("telemetry", &[("service", "browser-rum-sdk")]);
        let batch = [telemetry, point("view", &[("app_id", "a")])].concat();
        let mut documented = options(Compat::Documented);
        assert_eq!(check(&batch, &documented), Ok(()));
        assert!(check(&batch, &options(Compat::Datakit184)).is_err());
        // An application that is named must be a known one, here too.
        documented.rum.app_ids = vec!["a".to_owned()];
        assert_eq!(check(&batch, &documented), Ok(()));
        assert!(check(&point("telemetry", &[("app_id", "x")]), &documented).is_err());
    }
}
