# The server's log, the slow logs of searches and indexing, in text and, since Elasticsearch 8, in JSON.

if grok(_, "^\\[(?P<time>\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d,\\d+)\\]\\[%{WORD:status} *\\]\\[(?P<name>[^\\s\\]]+) *\\] \\[(?P<nodeId>[^\\]]*)\\](?: \\[(?P<index>[^\\]/]+)(?:/[^\\]]*)?\\](?:\\[%{INT:shard}\\])? took\\[%{DATA}\\], took_millis\\[%{INT:duration:int}\\])?") {
  if index == "" {
    drop_key(index)
    drop_key(duration)
  } else {
    duration_precision(duration, "ms", "ns")
  }
  nullif(shard, "")
  lowercase(status)
  default_time(time)
} elif grok(_, "^\\s*\\{") {
  record = load_json(_)
  if record != nil && "@timestamp" in record {
    add_key(time, record["@timestamp"])
    add_key(status, record["log.level"])
    add_key(name, record["log.logger"])
    add_key(nodeId, record["elasticsearch.node.name"])
    add_key(msg, record["message"])
    lowercase(status)
    default_time(time)
  }
}
if status == "fatal" {
  add_key(status, "critical")
}
