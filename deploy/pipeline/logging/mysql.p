# The slow query log, the error logs of MySQL 5.7, 8 and MariaDB, and the general log.

if grok(_, "# Query_time: %{NUMBER:query_time:float}\\s+Lock_time: %{NUMBER:lock_time:float}\\s+Rows_sent: %{INT:rows_sent:int}\\s+Rows_examined: %{INT:rows_examined:int}") {
  grok(_, "(?m)^# Time: %{NOTSPACE:time}(?: +(?P<clock>\\d+:\\d+:\\d+))?$")
  grok(_, "# User@Host: (?P<db_user>\\S+)\\s+@\\s+(?P<db_host>[^\\s\\[]*)\\s*\\[(?P<db_ip>[^\\]]*)\\](?:\\s+Id:\\s+%{INT:query_id:int})?")
  grok(_, "# Thread_id: %{INT:thread_id:int}")
  grok(_, "Bytes_sent: %{INT:bytes_sent:int}")
  grok(_, "(?s)\\n(?P<db_slow_statement>[^#\\s].*)$")
  nullif(db_host, "")
  nullif(db_ip, "")
  nullif(query_id, 0)
  if clock != nil && clock != "" {
    # As MySQL 5.6 and MariaDB have it: 060102 15:04:05.
    strfmt(time, "%s %s", time, clock)
  }
  drop_key(clock)
  default_time(time)
} elif grok(_, "^(?P<time>\\d{4}-\\d\\d-\\d\\d[T ]\\S+)\\s+%{INT:thread_id:int} \\[%{WORD:status}\\](?: \\[(?P<error_code>MY-\\d+)\\])?(?: \\[%{WORD:subsystem}\\])? %{GREEDYLINES:msg}") {
  nullif(error_code, "")
  nullif(subsystem, "")
  lowercase(status)
  group_in(status, ["system", "note"], "info")
  default_time(time)
} elif grok(_, "^(?P<time>\\d{4}-\\d\\d-\\d\\dT\\S+)\\s+%{INT:thread_id:int} (?P<operation>[A-Z]\\w*(?: [A-Z]\\w*)?)\\s+%{GREEDYLINES:raw_query}") {
  default_time(time)
}
