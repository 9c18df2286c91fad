# The server's log: JSON since MongoDB 4.4, text before.

if valid_json(_) {
  json(_, t.`$date`, time)
  json(_, s, severity)
  json(_, c, component)
  json(_, ctx, context)
  json(_, id, log_id)
  json(_, msg, msg)
  json(_, attr.durationMillis, duration_ms)
  json(_, attr.ns, namespace)
  cast(log_id, "int")
} else {
  grok(_, "^(?P<time>\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d\\.\\d+(?:Z|[+-]\\d\\d:?\\d\\d)) (?P<severity>[FEWID])[1-5]? +(?P<component>[\\w-]+) +\\[(?P<context>[^\\]]*)\\] %{GREEDYLINES:msg}")
}
if time != nil {
  group_in(severity, ["F"], "critical", status)
  group_in(severity, ["E"], "error", status)
  group_in(severity, ["W"], "warning", status)
  group_in(severity, ["I"], "info", status)
  group_in(severity, ["D", "D1", "D2", "D3", "D4", "D5"], "debug", status)
  default_time(time)
}
