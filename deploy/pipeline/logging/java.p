# Logs of Spring Boot, Logback and Log4j in their usual layouts; of a stack trace behind the line, what was thrown, where, and
# what caused it.

add_pattern("stamp", "\\d{4}-\\d\\d-\\d\\d[T ]\\d\\d:\\d\\d:\\d\\d(?:[.,]\\d+)?(?:Z|[+-]\\d\\d:?\\d\\d)?")
add_pattern("level", "TRACE|DEBUG|INFO|WARN|WARNING|ERROR|SEVERE|FATAL")

if grok(_, "^%{stamp:time} +%{level:status} +%{INT:pid} --- (?:\\[ *(?P<application>[^\\]]*)\\] )?\\[ *(?P<thread>[^\\]]*)\\] (?P<logger>\\S+) *: (?P<msg>[^\\n]*)") {
  nullif(application, "")
} elif grok(_, "^%{stamp:time} \\[(?P<thread>[^\\]]+)\\] +%{level:status} +(?P<logger>\\S+) +-+ (?P<msg>[^\\n]*)") {
} elif grok(_, "^%{stamp:time} +%{level:status} +\\[(?P<thread>[^\\]]+)\\] +(?P<logger>[^\\s:]+)(?::(?P<line>\\d+))?:? *-? (?P<msg>[^\\n]*)") {
  nullif(line, "")
} elif grok(_, "^%{stamp:time} +%{level:status} +(?P<logger>[^\\s:]+)(?::(?P<line>\\d+))? +- (?P<msg>[^\\n]*)") {
  nullif(line, "")
} elif grok(_, "^Exception in thread \"(?P<thread>[^\"]*)\" ") {
  add_key(status, "error")
}
if grok(_, "\\n\\s+at (?P<exception_at>[\\w.$<>/@-]+)\\((?P<exception_source>[^)]*)\\)") {
  grok(_, "(?m)^(?:Exception in thread \"[^\"]*\" )?(?P<exception>(?:[\\w$]+\\.)+[\\w$]+)(?:: (?P<exception_message>[^\\n]*))?\\n\\s+at ")
  nullif(exception_message, "")
  if grok(_, "(?s)^.*\\n\\s*Caused by: (?P<cause>[\\w.$]+)(?:: (?P<cause_message>[^\\n]*))?") {
    nullif(cause_message, "")
  }
}
if time != nil {
  lowercase(status)
  group_in(status, ["fatal", "severe"], "critical")
  default_time(time)
}
