//! What can be asked for: the tasks as DataKit 1.84.1 declares them, in its order.

use std::collections::BTreeMap;

use super::decode::{Decoder, Go, List, Map, find, go_struct};
use super::json::Json;

go_struct! {
    /// What all tasks have. Most of it is for the scheduler and without meaning here, but has to be of its type.
    Common "Task" "*" {
        external_id: String => "external_id",
        name: String => "name",
        access_key: String => "access_key",
        post_url: String => "post_url",
        status: String => "status",
        disabled: u8 => "disabled",
        frequency: String => "frequency",
        region: String => "region",
        owner_external_id: String => "owner_external_id",
        tags: Map<String> => "tags" [omitempty],
        labels: List<String> => "labels" [omitempty],
        workspace_language: String => "workspace_language" [omitempty],
        tags_info: String => "tags_info" [omitempty],
        df_label: String => "df_label" [omitempty],
        update_time: i64 => "update_time" [omitempty],
        config_vars: List<ConfigVar> => "config_vars" [omitempty],
        schedule_type: String => "schedule_type" [omitempty],
        crontab: String => "crontab" [omitempty],
    }
}

go_struct! {
    ConfigVar "ConfigVar" "*" {
        id: String => "id" [omitempty],
        kind: String => "type" [omitempty],
        name: String => "name",
        value: String => "value" [omitempty],
        example: String => "example" [omitempty],
        secure: bool => "secure",
    }
}

go_struct! {
    /// A variable that several tasks share, by its id in the request.
    Variable "Variable" "" {
        id: isize => "id" [omitempty],
        name: String => "name" [omitempty],
        uuid: String => "uuid" [omitempty],
        task_id: String => "task_id" [omitempty],
        task_var_name: String => "task_var_name" [omitempty],
        value: String => "value" [omitempty],
        secure: bool => "secure" [omitempty],
        post_script: String => "post_script" [omitempty],
        updated_at: i64 => "updated_at" [omitempty],
        value_updated_at: i64 => "value_updated_at" [omitempty],
        fail_count: isize => "fail_count" [omitempty],
        deleted_at: i64 => "deleted_at" [omitempty],
        owner_external_id: String => "owner_external_id" [omitempty],
    }
}

go_struct! {
    SuccessOption "SuccessOption" "*" {
        is: String => "is" [omitempty],
        is_not: String => "is_not" [omitempty],
        match_regex: String => "match_regex" [omitempty],
        not_match_regex: String => "not_match_regex" [omitempty],
        contains: String => "contains" [omitempty],
        not_contains: String => "not_contains" [omitempty],
    }
}

go_struct! {
    ValueSuccess "ValueSuccess" "*" {
        op: String => "op" [omitempty],
        target: f64 => "target" [omitempty],
    }
}

go_struct! {
    /// A bound on how long something took, with or without the name's look-up.
    ResponseTime "TCPResponseTime" "*" {
        is_contain_dns: bool => "is_contain_dns",
        target: String => "target",
    }
}

go_struct! {
    HttpTask "HTTPTask" "*" {
        url: String => "url",
        method: String => "method",
        post_script: String => "post_script" [omitempty],
        success_when_logic: String => "success_when_logic",
        success_when: List<HttpSuccess> => "success_when",
        advance_options: Option<HttpAdvance> => "advance_options" [omitempty],
    }
}

go_struct! {
    HttpSuccess "HTTPSuccess" "*" {
        body: List<SuccessOption> => "body" [omitempty],
        response_time: String => "response_time" [omitempty],
        header: Map<List<SuccessOption>> => "header" [omitempty],
        status_code: List<SuccessOption> => "status_code" [omitempty],
    }
}

go_struct! {
    HttpAdvance "HTTPAdvanceOption" "*" {
        request_options: Option<HttpRequestOptions> => "request_options" [omitempty],
        request_body: Option<HttpBody> => "request_body" [omitempty],
        certificate: Option<HttpCertificate> => "certificate" [omitempty],
        proxy: Option<HttpProxy> => "proxy" [omitempty],
        secret: Option<HttpSecret> => "secret" [omitempty],
        request_timeout: String => "request_timeout" [omitempty],
    }
}

go_struct! {
    HttpRequestOptions "HTTPOptRequest" "*" {
        /// Read and never obeyed: where a redirect leads is not what was checked.
        follow_redirect: bool => "follow_redirect" [omitempty],
        headers: Map<String> => "headers" [omitempty],
        cookies: String => "cookies" [omitempty],
        auth: Option<Auth> => "auth" [omitempty],
    }
}

go_struct! {
    Auth "HTTPOptAuth" "*" {
        username: String => "username" [omitempty],
        password: String => "password" [omitempty],
    }
}

go_struct! {
    HttpBody "HTTPOptBody" "*" {
        body_type: String => "body_type" [omitempty],
        body: String => "body" [omitempty],
        files: List<HttpFile> => "files" [omitempty],
        form: Map<String> => "form" [omitempty],
    }
}

go_struct! {
    HttpFile "HTTPOptBodyFile" "" {
        name: String => "name",
        content: String => "content",
        kind: String => "type",
        size: i64 => "size",
        encoding: String => "encoding",
        original_file_name: String => "original_file_name",
        file_path: String => "file_path" [omitempty],
        hash: String => "_",
    }
}

go_struct! {
    HttpCertificate "HTTPOptCertificate" "*" {
        ignore_server_certificate_error: bool => "ignore_server_certificate_error" [omitempty],
        private_key: String => "private_key" [omitempty],
        certificate: String => "certificate" [omitempty],
        ca: String => "ca" [omitempty],
    }
}

go_struct! {
    HttpProxy "HTTPOptProxy" "*" {
        url: String => "url" [omitempty],
        headers: Map<String> => "headers" [omitempty],
    }
}

go_struct! {
    HttpSecret "HTTPSecret" "*" {
        not_save: bool => "not_save" [omitempty],
    }
}

go_struct! {
    TcpTask "TCPTask" "*" {
        host: String => "host",
        port: String => "port",
        message: String => "message",
        timeout: String => "timeout",
        enable_traceroute: bool => "enable_traceroute",
        traceroute_config: Option<TracerouteOption> => "traceroute_config",
        success_when: List<TcpSuccess> => "success_when",
        success_when_logic: String => "success_when_logic",
    }
}

go_struct! {
    TcpSuccess "TCPSuccess" "*" {
        response_time: List<ResponseTime> => "response_time" [omitempty],
        hops: List<ValueSuccess> => "hops" [omitempty],
        response_message: List<SuccessOption> => "response_message" [omitempty],
    }
}

go_struct! {
    TracerouteOption "TracerouteOption" "*" {
        hops: isize => "Hops",
        retry: isize => "Retry",
        timeout: String => "Timeout",
    }
}

go_struct! {
    IcmpTask "ICMPTask" "*" {
        host: String => "host",
        packet_count: isize => "packet_count",
        timeout: String => "timeout",
        enable_traceroute: bool => "enable_traceroute",
        traceroute_config: Option<TracerouteOption> => "traceroute_config",
        success_when: List<IcmpSuccess> => "success_when",
        success_when_logic: String => "success_when_logic",
    }
}

go_struct! {
    IcmpSuccess "ICMPSuccess" "*" {
        packet_loss_percent: List<ValueSuccess> => "packet_loss_percent" [omitempty],
        response_time: List<RoundTrip> => "response_time" [omitempty],
        hops: List<ValueSuccess> => "hops" [omitempty],
        packets: List<ValueSuccess> => "packets" [omitempty],
    }
}

go_struct! {
    RoundTrip "ResponseTimeSucess" "*" {
        func: String => "func" [omitempty],
        op: String => "op" [omitempty],
        target: String => "target" [omitempty],
    }
}

go_struct! {
    WebsocketTask "WebsocketTask" "*" {
        url: String => "url",
        message: String => "message",
        success_when: List<WebsocketSuccess> => "success_when",
        advance_options: Option<WebsocketAdvance> => "advance_options" [omitempty],
        success_when_logic: String => "success_when_logic",
    }
}

go_struct! {
    WebsocketSuccess "WebsocketSuccess" "*" {
        response_time: List<ResponseTime> => "response_time" [omitempty],
        response_message: List<SuccessOption> => "response_message" [omitempty],
        header: Map<List<SuccessOption>> => "header" [omitempty],
    }
}

go_struct! {
    WebsocketAdvance "WebsocketAdvanceOption" "*" {
        request_options: Option<WebsocketRequestOptions> => "request_options" [omitempty],
        auth: Option<Auth> => "auth" [omitempty],
    }
}

go_struct! {
    WebsocketRequestOptions "WebsocketOptRequest" "*" {
        timeout: String => "timeout" [omitempty],
        headers: Map<String> => "headers" [omitempty],
    }
}

go_struct! {
    MultiTask "MultiTask" "*" {
        steps: List<Step> => "steps",
    }
}

go_struct! {
    Step "MultiStep" "*" {
        kind: String => "type",
        name: String => "name",
        allow_failure: bool => "allow_failure",
        retry: Option<Retry> => "retry",
        /// An HTTP task as JSON text.
        task: String => "task" [omitempty],
        /// Seconds of a step that waits.
        value: isize => "value" [omitempty],
        extracted_vars: List<ExtractedVar> => "extracted_vars" [omitempty],
    }
}

go_struct! {
    Retry "MultiStepRetry" "*" {
        retry: isize => "retry",
        /// Milliseconds.
        interval: isize => "interval",
    }
}

go_struct! {
    ExtractedVar "MultiExtractedVar" "" {
        name: String => "name",
        field: String => "field",
        secure: bool => "secure",
        value: String => "value" [omitempty],
    }
}

/// The part of a task that is its kind's own.
pub trait Kind: Go + Clone {
    const GO_NAME: &'static str;
    fn member(&mut self, key: &str, value: &Json, at: &mut Decoder) -> bool;
}

macro_rules! kinds {
    ($($ty:ty),*) => {
        $(impl Kind for $ty {
            const GO_NAME: &'static str = <$ty>::GO_NAME;
            fn member(&mut self, key: &str, value: &Json, at: &mut Decoder) -> bool {
                self.decode_member(key, value, at)
            }
        })*
    };
}
kinds!(HttpTask, TcpTask, IcmpTask, WebsocketTask, MultiTask);

/// A task of one kind: Go embeds the common part, so that its members stand beside the others.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Task<T> {
    pub common: Common,
    pub own: T,
    /// As it came, before anything was filled in.
    pub original: T,
}

impl<T: Kind> Task<T> {
    pub fn read(json: &Json) -> Result<Task<T>, String> {
        let mut task: Task<T> = Task::default();
        let mut decoder = Decoder::default();
        match json {
            Json::Map(members) => decoder.within(T::GO_NAME, |at| {
                for (key, value) in members {
                    let key = documented(key, members);
                    if !task.own.member(key, value, at) {
                        task.common.decode_member(key, value, at);
                    }
                }
            }),
            Json::Null => {}
            other => decoder.mismatch(other.kind(), &T::go_type()),
        }
        if let Some(error) = decoder.into_error() {
            return Err(format!("json.Unmarshal failed: {error}, task json: {}", json.render()));
        }
        task.original = task.own.clone();
        Ok(task)
    }

    /// As JSON, without the common part, as it came.
    pub fn raw(&self) -> String {
        let mut raw = Vec::new();
        self.original.encode(&mut raw);
        String::from_utf8_lossy(&raw).into_owned()
    }

    /// A task that stands as text in another one.
    pub fn read_text(text: &str) -> Result<Task<T>, String> {
        let failed = |error| format!("json.Unmarshal failed: {error}, task json: {text}");
        Task::read(&Json::parse(text.as_bytes()).map_err(failed)?)
    }
}

/// The public document's example has two names that are none; they are taken where the right ones are not there.
fn documented<'a>(key: &'a str, members: &BTreeMap<String, Json>) -> &'a str {
    let name = match key {
        "SuccessWhen" => "success_when",
        "cur_status" => "status",
        _ => return key,
    };
    if members.keys().any(|other| find(&[name], other).is_some()) { key } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documents_names_are_taken_too() {
        let task = Task::<HttpTask>::read_text(
            r#"{"cur_status":"stop","SuccessWhen":[{"status_code":[{"is":"200"}]}]}"#,
        )
        .unwrap();
        assert_eq!((task.common.status.as_str(), task.own.success_when.items().len()), ("stop", 1));
        let task = Task::<HttpTask>::read_text(r#"{"cur_status":"stop","Status":"OK"}"#).unwrap();
        assert_eq!(task.common.status, "OK");
    }

    #[test]
    fn a_task_is_read_and_shown_again_without_its_common_part() {
        let json = Json::parse(
            br#"{"name":"t","URL":"http://a/","method":"GET","status":"OK","Success_When":[{"status_code":[{"is":"200"}]}],
                "tags":{"a":"b"},"config_vars":[{"name":"v","value":"x","secure":true}],"unknown":[[]]}"#,
        )
        .unwrap();
        let task = Task::<HttpTask>::read(&json).unwrap();
        assert_eq!((task.common.name.as_str(), task.common.status.as_str()), ("t", "OK"));
        assert_eq!(task.common.tags.get("a").map(String::as_str), Some("b"));
        assert_eq!(
            task.raw(),
            r#"{"url":"http://a/","method":"GET","success_when_logic":"","success_when":[{"status_code":[{"is":"200"}]}]}"#
        );
        let tcp = Task::<TcpTask>::read_text(r#"{"host":"h","port":"1"}"#).unwrap();
        assert_eq!(
            tcp.raw(),
            "{\"host\":\"h\",\"port\":\"1\",\"message\":\"\",\"timeout\":\"\",\"enable_traceroute\":false,\
             \"traceroute_config\":null,\"success_when\":null,\"success_when_logic\":\"\"}"
        );
    }

    #[test]
    fn what_cannot_be_read_says_where_and_shows_the_task() {
        for (text, error) in [
            (
                r#"{"name":5,"url":""}"#,
                "json.Unmarshal failed: json: cannot unmarshal number into Go struct field HTTPTask.name of type string, \
                 task json: {\"name\":5,\"url\":\"\"}",
            ),
            (
                "[1.0]",
                "json.Unmarshal failed: json: cannot unmarshal array into Go value of type dialtesting.HTTPTask, \
                 task json: [1]",
            ),
            (
                r#"{"advance_options":{"proxy":[]}}"#,
                "json.Unmarshal failed: json: cannot unmarshal array into Go struct field \
                 HTTPAdvanceOption.advance_options.proxy of type dialtesting.HTTPOptProxy, \
                 task json: {\"advance_options\":{\"proxy\":[]}}",
            ),
            ("{", "json.Unmarshal failed: unexpected end of JSON input, task json: {"),
        ] {
            assert_eq!(Task::<HttpTask>::read_text(text).map(|task| task.raw()), Err(error.to_owned()));
        }
    }
}
