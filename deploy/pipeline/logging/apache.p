# Access logs in the formats `common` and `combined`, with or without the virtual host before them, and the error logs of
# Apache 2.2 and 2.4.

if grok(_, "^(?:%{NOTSPACE:virtual_host} )??%{IPORHOST:ip_or_host} %{NOTSPACE:http_ident} %{NOTSPACE:http_auth} \\[%{HTTPDATE:time}\\] \"(?:%{WORD:http_method} %{NOTSPACE:http_url}(?: HTTP/%{NUMBER:http_version})?|%{DATA:raw_request})\" %{INT:http_code:int} (?:%{INT:bytes:int}|-)(?: \"%{DATA:referrer}\" \"%{DATA:agent}\")?") {
  nullif(virtual_host, "")
  nullif(http_ident, "-")
  nullif(http_auth, "-")
  nullif(http_method, "")
  nullif(http_url, "")
  nullif(http_version, "")
  nullif(raw_request, "")
  nullif(referrer, "")
  nullif(agent, "")
  nullif(agent, "-")
  group_between(http_code, [100, 299], "OK", status)
  group_between(http_code, [300, 399], "notice", status)
  group_between(http_code, [400, 499], "warning", status)
  group_between(http_code, [500, 599], "error", status)
  default_time(time)
} elif grok(_, "^\\[%{HTTPDERROR_DATE:time}\\] \\[(?:%{WORD:type})?:%{WORD:status}\\] \\[pid %{POSINT:pid}(?::tid %{NUMBER:tid})?\\](?: \\[client %{DATA:client}\\])? %{GREEDYLINES:msg}") {
  nullif(type, "")
  nullif(tid, "")
  nullif(client, "")
  group_in(status, ["emerg", "alert", "crit"], "error")
  default_time(time)
} elif grok(_, "^\\[%{HTTPDERROR_DATE:time}\\] \\[%{WORD:status}\\](?: \\[client %{DATA:client}\\])? %{GREEDYLINES:msg}") {
  nullif(client, "")
  group_in(status, ["emerg", "alert", "crit"], "error")
  default_time(time)
}
