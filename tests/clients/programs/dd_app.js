// Traces of the kinds that the tracer for Node makes; prints every span that it handed to its exporter. With a
// profiler, a busy loop besides.
'use strict'

const tracer = require('dd-trace').init({ flushInterval: 500 })
const http = require('http')
const { setTimeout: sleep } = require('timers/promises')

const made = []
const rejected = []
const exporter = tracer._tracer._exporter
const handOver = exporter.export.bind(exporter)
exporter.export = spans => {
  const tid = spans[0].meta['_dd.p.tid']
  for (const span of spans) {
    const low = span.trace_id.toString(16).padStart(16, '0').slice(-16)
    const kept = {
      trace_id: tid ? tid + low : BigInt('0x' + low).toString(),
      span_id: span.span_id.toString(10),
      parent_id: span.parent_id.toString(10),
      service: span.service,
      operation: span.name,
      resource: span.resource,
      status: span.error ? 'error' : 'ok',
      start: Number(BigInt(span.start) / 1000n),
      duration: Math.floor(span.duration / 1000),
    }
    ;(spans[0].metrics._sampling_priority_v1 > 0 ? made : rejected).push(kept)
  }
  handOver(spans)
}

function many (spans) {
  tracer.trace('batch', () => {
    for (let number = 0; number < spans - 1; number++) {
      tracer.trace('step', { resource: `step ${number % 7}` }, () => {})
    }
  })
}

function fails () {
  try {
    tracer.trace('checkout', span => {
      span.setTag('shop.order', 'o-1')
      throw new RangeError('declined \u2603\nsecond line')
    })
  } catch {}
}

function refused () {
  tracer.trace('rejected', span => {
    span.setTag('manual.drop', true)
    tracer.trace('rejected.child', () => {})
  })
}

// A server and its client in one: by the integrations.
async function requests (count) {
  const server = http.createServer((request, response) => {
    tracer.trace('handler', () => response.end('ok'))
  })
  await new Promise(resolve => server.listen(0, '127.0.0.1', resolve))
  for (let number = 0; number < count; number++) {
    await new Promise((resolve, reject) => {
      http.get({ port: server.address().port, host: '127.0.0.1', path: `/order/${number}` }, response => {
        response.resume()
        response.on('end', resolve)
      }).on('error', reject)
    })
  }
  server.close()
}

function kitgateBurn (until) {
  let sum = 0
  const kept = []
  while (Date.now() < until) {
    sum += Math.sqrt(Math.random())
    if (kept.length < 1e4) kept.push({ sum })
  }
  return kept.length
}

async function main () {
  await requests(5)
  fails()
  refused()
  many(2200)
  if (process.env.DD_PROFILING_ENABLED) {
    for (const end = Date.now() + 5000; Date.now() < end;) {
      kitgateBurn(Date.now() + 50)
      await sleep(5)
    }
  }
  // Everything is sent half a second after it is finished.
  await sleep(2500)
  // To a pipe, which takes its time.
  process.stdout.write(JSON.stringify({ spans: made, rejected }) + '\n', () => process.exit(0))
}

main()
