# The broker's log and Kafka Connect's: `[time] LEVEL text (class)`, and `time LEVEL class:line - text`.

if grok(_, "^\\[(?P<time>\\d{4}-\\d\\d-\\d\\d \\d\\d:\\d\\d:\\d\\d,\\d+)\\] %{WORD:status} %{GREEDYDATA:msg} \\((?P<name>[\\w.$]+(?::\\d+)?)\\)") {
  lowercase(status)
  default_time(time)
} elif grok(_, "^(?P<time>\\d{4}-\\d\\d-\\d\\d \\d\\d:\\d\\d:\\d\\d(?:[,.]\\d+)?) +%{WORD:status} +(?P<name>[\\w.$]+):%{INT:line} - %{GREEDYLINES:msg}") {
  lowercase(status)
  default_time(time)
}
if status == "fatal" {
  add_key(status, "critical")
}
