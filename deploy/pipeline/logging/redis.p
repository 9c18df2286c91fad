# The server's log: pid, role, time, level, text.

if grok(_, "^%{INT:pid:int}:(?P<role>[XCSM]) (?P<time>%{MONTHDAY} %{MONTH} %{YEAR} \\d\\d:\\d\\d:\\d\\d(?:\\.\\d+)?) (?P<serverity>[.*#-]) %{GREEDYLINES:msg}") {
  group_in(serverity, ["."], "debug", status)
  group_in(serverity, ["-"], "debug", status)
  group_in(serverity, ["*"], "notice", status)
  group_in(serverity, ["#"], "warning", status)
  default_time(time)
}
