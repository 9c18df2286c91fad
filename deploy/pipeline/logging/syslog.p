# RFC 5424, and RFC 3164 with or without the priority before it. The facility and the severity are in the priority.

if grok(_, "^<%{NONNEGINT:priority}>%{INT:version:int} (?P<time>\\S+) (?P<hostname>\\S+) (?P<program>\\S+) (?P<pid>\\S+) (?P<message_id>\\S+) (?P<structured_data>-|(?:\\[[^\\]]*\\])+)(?: %{GREEDYLINES:msg})?") {
  nullif(hostname, "-")
  nullif(program, "-")
  nullif(pid, "-")
  nullif(message_id, "-")
  nullif(structured_data, "-")
  if time == "-" {
    drop_key(time)
  } else {
    default_time(time)
  }
} elif grok(_, "^(?:<%{NONNEGINT:priority}>)?(?P<month>[A-Z][a-z]{2}) +(?P<day>\\d{1,2}) (?P<time>\\d\\d:\\d\\d:\\d\\d) (?P<hostname>\\S+) (?P<program>[^:\\[\\s]+)(?:\\[%{POSINT:pid}\\])?: ?%{GREEDYLINES:msg}") {
  nullif(priority, "")
  nullif(pid, "")
  # It says neither the year nor the zone: this year, and this machine's.
  cast(day, "int")
  strfmt(time, "%02d %s %s.000", day, month, time)
  drop_key(day)
  drop_key(month)
  default_time(time)
} elif grok(_, "^(?:<%{NONNEGINT:priority}>)?(?P<time>\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d(?:\\.\\d+)?(?:Z|[+-]\\d\\d:?\\d\\d)) (?P<hostname>\\S+) (?P<program>[^:\\[\\s]+)(?:\\[%{POSINT:pid}\\])?: ?%{GREEDYLINES:msg}") {
  nullif(priority, "")
  nullif(pid, "")
  default_time(time)
}

if priority != nil {
  cast(priority, "int")
}
if priority != nil && priority < 192 {
  facilities = ["kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp",
    "ntp", "audit", "alert", "clock", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7"]
  severities = ["emerg", "alert", "critical", "error", "warning", "notice", "info", "debug"]
  add_key(facility, facilities[priority / 8])
  add_key(status, severities[priority % 8])
}
