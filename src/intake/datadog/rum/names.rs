//! What the events of Datadog's SDK call things, and what the platform calls them. The platform's own SDK grew out of that
//! one: nearly everything has a counterpart.

/// Where a value stands in an event, and the key that it has in the point.
type Names = &'static [(&'static str, &'static str)];

/// The names of a kind of event. Of several paths to one key the first that is there counts.
#[derive(Clone, Copy, Debug)]
pub struct OfKind {
    pub tags: Names,
    pub fields: Names,
}

/// What the SDK tells of itself.
pub const TELEMETRY: &str = "telemetry";

pub const OF_ALL: OfKind = OfKind {
    tags: &[
        ("application.id", "app_id"),
        ("service", "service"),
        ("version", "version"),
        ("source", "source"),
        ("usr.id", "userid"),
        ("usr.anonymous_id", "userid"),
        ("usr.email", "user_email"),
        ("usr.name", "user_name"),
        ("session.id", "session_id"),
        ("session.type", "session_type"),
        ("os.name", "os"),
        ("os.version", "os_version"),
        ("device.type", "device"),
        ("device.time_zone", "time_zone"),
        ("connectivity.effective_type", "network_type"),
        ("view.id", "view_id"),
        ("view.name", "view_name"),
        ("view.url", "view_url"),
        ("view.referrer", "view_referrer"),
    ],
    fields: &[
        ("display", "display"),
        ("session.has_replay", "session_has_replay"),
        ("view.in_foreground", "view_in_foreground"),
        ("action.id", "action_ids"),
        ("_dd.drift", "drift"),
        ("_dd.configuration.session_sample_rate", "session_sample_rate"),
        ("_dd.configuration.session_replay_sample_rate", "session_replay_sample_rate"),
    ],
};

const VIEW: OfKind = OfKind {
    tags: &[
        ("view.loading_type", "view_loading_type"),
        ("privacy.replay_level", "view_privacy_replay_level"),
    ],
    fields: &[
        ("view.is_active", "is_active"),
        ("view.time_spent", "time_spent"),
        ("view.loading_time", "loading_time"),
        ("view.action.count", "view_action_count"),
        ("view.error.count", "view_error_count"),
        ("view.long_task.count", "view_long_task_count"),
        ("view.resource.count", "view_resource_count"),
        ("view.frustration.count", "frustration_count"),
        ("view.cumulative_layout_shift", "cumulative_layout_shift"),
        ("view.first_contentful_paint", "first_contentful_paint"),
        ("view.largest_contentful_paint", "largest_contentful_paint"),
        ("view.largest_contentful_paint_target_selector", "largest_contentful_paint_element_selector"),
        ("view.first_input_delay", "first_input_delay"),
        ("view.first_input_time", "first_input_time"),
        ("view.interaction_to_next_paint", "interaction_to_next_paint"),
        ("view.first_byte", "first_byte"),
        ("view.dom_interactive", "dom_interactive"),
        ("view.dom_content_loaded", "dom_content_loaded"),
        ("view.dom_complete", "dom_complete"),
        ("view.load_event", "load_event"),
        ("_dd.page_states", "page_states"),
        ("_dd.document_version", "document_version"),
    ],
};

const RESOURCE: OfKind = OfKind {
    tags: &[
        ("resource.id", "resource_id"),
        ("resource.method", "resource_method"),
        ("resource.status_code", "resource_status"),
        ("_dd.trace_id", "trace_id"),
        ("_dd.span_id", "span_id"),
    ],
    fields: &[
        ("resource.url", "resource_url"),
        ("resource.type", "resource_type"),
        ("resource.protocol", "resource_protocol"),
        ("resource.delivery_type", "resource_delivery_type"),
        ("resource.render_blocking_status", "resource_render_blocking_status"),
        ("resource.duration", "duration"),
        ("resource.size", "resource_size"),
        ("resource.encoded_body_size", "resource_encode_size"),
        ("resource.decoded_body_size", "resource_decode_size"),
        ("resource.transfer_size", "resource_transfer_size"),
        ("resource.redirect.duration", "resource_redirect"),
        ("resource.dns.duration", "resource_dns"),
        ("resource.connect.duration", "resource_tcp"),
        ("resource.ssl.duration", "resource_ssl"),
        ("resource.first_byte.duration", "resource_ttfb"),
        ("resource.download.duration", "resource_trans"),
    ],
};

const ACTION: OfKind = OfKind {
    tags: &[("action.type", "action_type")],
    fields: &[
        ("action.id", "action_id"),
        ("action.target.name", "action_name"),
        ("action.loading_time", "duration"),
        ("action.error.count", "action_error_count"),
        ("action.long_task.count", "action_long_task_count"),
        ("action.resource.count", "action_resource_count"),
        ("action.frustration.type", "action_frustration_types"),
    ],
};

const ERROR: OfKind = OfKind {
    tags: &[
        ("error.id", "error_id"),
        ("error.type", "error_type"),
        ("error.source", "error_source"),
        ("error.handling", "error_handling"),
    ],
    fields: &[
        ("error.message", "error_message"),
        ("error.stack", "error_stack"),
        ("error.handling_stack", "error_handling_stack"),
        ("error.causes", "error_causes"),
        ("error.fingerprint", "error_fingerprint"),
        ("error.component_stack", "error_component_stack"),
        ("error.resource.method", "resource_method"),
        ("error.resource.status_code", "resource_status"),
        ("error.resource.url", "resource_url"),
    ],
};

const LONG_TASK: OfKind = OfKind {
    tags: &[("long_task.id", "long_task_id")],
    fields: &[
        ("long_task.duration", "duration"),
        ("long_task.blocking_duration", "blocking_duration"),
        ("long_task.entry_type", "long_task_entry_type"),
        ("long_task.start_time", "long_task_start_time"),
        ("long_task.render_start", "render_start"),
        ("long_task.style_and_layout_start", "style_and_layout_start"),
        ("long_task.first_ui_event_timestamp", "first_ui_event_timestamp"),
        ("long_task.scripts", "scripts"),
    ],
};

const OF_TELEMETRY: OfKind = OfKind {
    tags: &[],
    fields: &[
        ("telemetry.type", "type"),
        ("telemetry.status", "status"),
        ("telemetry.message", "message"),
        ("telemetry.error.kind", "error_kind"),
        ("telemetry.error.stack", "error_stack"),
        ("telemetry.usage", "usage"),
        ("telemetry.configuration", "configuration"),
        ("telemetry.connectivity", "connectivity"),
        ("telemetry.runtime_env", "runtime_env"),
    ],
};

const VITAL: OfKind = OfKind {
    tags: &[("vital.id", "vital_id"), ("vital.type", "vital_type"), ("vital.name", "vital_name")],
    fields: &[
        ("vital.duration", "duration"),
        ("vital.description", "vital_description"),
        ("vital.step_type", "vital_step_type"),
    ],
};

/// Of a kind that nobody has thought of: what all events have.
const OF_OTHERS: OfKind = OfKind { tags: &[], fields: &[] };

/// The names beside those of all events.
pub fn of(kind: &str) -> OfKind {
    match kind {
        "view" => VIEW,
        "resource" => RESOURCE,
        "action" => ACTION,
        "error" => ERROR,
        "long_task" => LONG_TASK,
        "vital" => VITAL,
        TELEMETRY => OF_TELEMETRY,
        _ => OF_OTHERS,
    }
}
