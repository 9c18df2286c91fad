# The server's log. Of `log_line_prefix` these are known: `%m [%p] %d [%a] %u [%h] %c `, `%m [%p] %q%u@%d ` (Debian), and
# `%m [%p] ` or `%t [%p]: ` with anything behind it.

add_pattern("stamp", "\\d{4}-\\d\\d-\\d\\d \\d\\d:\\d\\d:\\d\\d(?:\\.\\d+)?")
add_pattern("level", "DEBUG[1-5]?|LOG|INFO|NOTICE|WARNING|ERROR|FATAL|PANIC|DETAIL|HINT|STATEMENT|CONTEXT|QUERY")

if grok(_, "^%{stamp:time} (?P<zone>\\S+) \\[%{INT:process_id}\\] (?P<db_name>\\S*) \\[(?P<application_name>[^\\]]*)\\] (?P<user>\\S*) \\[(?P<remote_host>[^\\]]*)\\] (?P<session_id>[0-9a-f]+\\.[0-9a-f]+) %{level:status}:\\s+%{GREEDYLINES:msg}") {
  nullif(db_name, "")
  nullif(application_name, "")
  nullif(user, "")
  nullif(remote_host, "")
} elif grok(_, "^%{stamp:time} (?P<zone>\\S+) \\[%{INT:process_id}\\] (?:(?P<user>[^@\\s]+)@(?P<db_name>\\S+) )?%{level:status}:\\s+%{GREEDYLINES:msg}") {
  nullif(user, "")
  nullif(db_name, "")
} elif grok(_, "^%{stamp:time} (?P<zone>\\S+) \\[%{INT:process_id}\\]:? %{DATA:prefix} ?%{level:status}:\\s+%{GREEDYLINES:msg}") {
  grok(prefix, "(?:user|u)=(?P<user>[^,\\s]+)")
  grok(prefix, "(?:database|db|d)=(?P<db_name>[^,\\s]+)")
  grok(prefix, "app=(?P<application_name>[^,\\s]+)")
  grok(prefix, "(?:client|host|h)=(?P<remote_host>[^,\\s]+)")
  drop_key(prefix)
}
if time != nil {
  grok(msg, "^duration: %{NUMBER:duration_ms:float} ms")
  lowercase(status)
  group_in(status, ["log", "info", "detail", "hint", "statement", "context", "query"], "info")
  group_in(status, ["debug1", "debug2", "debug3", "debug4", "debug5"], "debug")
  group_in(status, ["fatal", "panic"], "critical")
  # An abbreviation such as CST is the zone of several places: only UTC is taken at its word.
  if zone == "UTC" || zone == "GMT" {
    default_time(time, "UTC")
  } else {
    default_time(time)
  }
  drop_key(zone)
}
