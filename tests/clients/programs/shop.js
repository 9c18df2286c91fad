// The server behind the page: the SDK's script, the page, an interface that is traced by the tracer for Node, which
// goes on with the trace that the browser began, and an ear for what the page has seen. Prints its port, and at its
// end what it saw.
'use strict'

const tracer = require('dd-trace').init({ flushInterval: 200, plugins: false })
tracer.use('http', { client: false })
const fs = require('fs')
const http = require('http')
const path = require('path')

const script = fs.readFileSync(require.resolve('@datadog/browser-rum/bundle/datadog-rum.js'))
const page = fs.readFileSync(path.join(__dirname, 'page.html'))
const spans = []
let seen = []

const server = http.createServer((request, response) => {
  const name = request.url.split('?')[0]
  const answer = (type, body) => {
    response.writeHead(200, { 'content-type': type })
    response.end(body)
  }
  if (name === '/datadog-rum.js') return answer('text/javascript', script)
  if (name === '/seen') {
    let body = ''
    request.on('data', data => { body += data })
    request.on('end', () => { seen = JSON.parse(body); answer('text/plain', 'ok') })
    return
  }
  if (name.startsWith('/api/')) {
    return tracer.trace('stock', span => {
      const context = span.context()
      spans.push({ trace_id: context.toTraceId(), span_id: context.toSpanId() })
      answer('text/plain', 'stock')
    })
  }
  if (name === '/bye') {
    answer('text/html', '<!doctype html><title>bye</title>')
    return setTimeout(() => process.stdout.write(JSON.stringify({ spans, seen }) + '\n', () => process.exit(0)), 2500)
  }
  answer('text/html', page)
})
server.listen(0, '127.0.0.1', () => console.log(server.address().port))
