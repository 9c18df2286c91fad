# Access logs in the formats `common` and `combined`, and the error log.

if grok(_, "^%{IPORHOST:client_ip} %{NOTSPACE:http_ident} %{NOTSPACE:http_auth} \\[%{HTTPDATE:time}\\] \"(?:%{WORD:http_method} %{NOTSPACE:http_url}(?: HTTP/%{NUMBER:http_version})?|%{DATA:raw_request})\" %{INT:status_code:int} (?:%{INT:bytes:int}|-)(?: \"%{DATA:referrer}\" \"%{DATA:agent}\")?") {
  nullif(http_ident, "-")
  nullif(http_auth, "-")
  nullif(http_method, "")
  nullif(http_url, "")
  nullif(http_version, "")
  nullif(raw_request, "")
  nullif(referrer, "")
  if agent == "" || agent == "-" {
    drop_key(agent)
  } else {
    user_agent(agent)
  }
  group_between(status_code, [100, 299], "OK", status)
  group_between(status_code, [300, 399], "notice", status)
  group_between(status_code, [400, 499], "warning", status)
  group_between(status_code, [500, 599], "error", status)
  default_time(time)
} elif grok(_, "^(?P<time>%{YEAR}/%{MONTHNUM}/%{MONTHDAY} %{TIME})\\[%{WORD:status}\\] %{GREEDYLINES:msg}") {
  grok(msg, ", client: (?P<client_ip>[^,\\s]+)")
  grok(msg, ", server: (?P<server>[^,]*),")
  grok(msg, ", request: \"%{WORD:http_method} %{NOTSPACE:http_url}(?: HTTP/%{NUMBER:http_version})?\"")
  grok(msg, ", upstream: \"%{DATA:upstream}\"")
  grok(msg, ", host: \"%{DATA:ip_or_host}\"")
  nullif(server, "")
  nullif(http_version, "")
  group_in(status, ["emerg", "alert", "crit"], "error")
  default_time(time)
}
