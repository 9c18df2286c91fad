# Lines of Docker's json-file driver: the text comes out of its wrapping.

if valid_json(_) {
  json(_, stream, stream)
  json(_, time, time)
  json(_, attrs.tag, docker_tag)
  json(_, log, message, false)
  replace(message, "\\r?\\n$", "")
  if stream != nil {
    set_tag(stream)
  }
  grok(_, "^.{0,80}?\\b(?P<status>TRACE|DEBUG|INFO|NOTICE|WARN|WARNING|ERROR|CRITICAL|FATAL)\\b")
  grok(_, "\\blevel=\"?(?P<status>[A-Za-z]+)")
  lowercase(status)
  group_in(status, ["fatal", "panic"], "critical")
  default_time(time)
}
