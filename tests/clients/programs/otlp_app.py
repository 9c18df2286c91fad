"""Traces, metrics and logs by OpenTelemetry's SDK and its exporters over HTTP; prints what the SDK handed to them."""

import json
import logging
import sys
import warnings

from opentelemetry import metrics
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode

warnings.simplefilter("ignore", DeprecationWarning)
warnings.simplefilter("ignore", FutureWarning)
service = sys.argv[1]
logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s %(message)s", stream=sys.stderr)
resource = Resource.create({"service.name": service, "deployment.environment": "test", "service.version": "1.2.3"})
spans, logs = [], []


class Recorder(SpanProcessor):
    def on_end(self, span):
        parent = f"{span.parent.span_id:016x}" if span.parent else "0"
        spans.append(
            {
                "trace_id": f"{span.context.trace_id:032x}",
                "span_id": f"{span.context.span_id:016x}",
                "parent_id": parent,
                "resource": span.name,
                "start": span.start_time // 1000,
                "duration": (span.end_time - span.start_time) // 1000,
                "status": "error" if span.status.status_code is StatusCode.ERROR else "ok",
                "span_kind": span.kind.name.lower(),
                "http_route": span.attributes.get("http.route"),
            }
        )


provider = TracerProvider(resource=resource)
provider.add_span_processor(Recorder())
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(), max_queue_size=8192, max_export_batch_size=500))
tracer = provider.get_tracer("shop", "0.9")
records = LoggerProvider(resource=resource)
records.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter()))
log = logging.getLogger("shop")
log.propagate = False
log.setLevel(logging.INFO)
log.addHandler(LoggingHandler(logger_provider=records))

for number in range(300):
    with tracer.start_as_current_span(f"GET /order/{number}", kind=SpanKind.SERVER) as root:
        root.set_attribute("http.route", "/order/{id}")
        root.set_attribute("http.request.method", "GET")
        root.set_attribute("http.response.status_code", 200)
        root.set_attribute("parts", ["a", "b"])
        root.add_event("priced", {"amount": 1.5})
        if number % 10 == 0:
            identity = root.get_span_context()
            log.warning("order %d \N{SNOWMAN}", number, extra={"order": number})
            logs.append(
                {
                    "message": f"order {number} \N{SNOWMAN}",
                    "status": "warn",
                    "trace_id": f"{identity.trace_id:032x}",
                    "span_id": f"{identity.span_id:016x}",
                }
            )
        for step in range(3):
            with tracer.start_as_current_span(f"step {step}", kind=SpanKind.CLIENT):
                pass
        if number % 50 == 0:
            try:
                with tracer.start_as_current_span("pay"):
                    raise ValueError("declined")
            except ValueError:
                root.set_status(Status(StatusCode.ERROR, "declined"))

# Collected once: when it is told to.
meters = MeterProvider(
    [PeriodicExportingMetricReader(OTLPMetricExporter(), export_interval_millis=float("inf"))], resource
)
meter = meters.get_meter("shop", "0.9")
orders = meter.create_counter("orders", unit="1")
for number in range(7):
    orders.add(3, {"kind": f"k{number}"})
    orders.add(4, {"kind": f"k{number}"})
waiting = meter.create_up_down_counter("waiting")
waiting.add(5)
waiting.add(-7)
meter.create_gauge("temperature", unit="Cel").set(21.25, {"room": "\u5317"})
meter.create_observable_gauge(
    "load", [lambda _: [metrics.Observation(0.5, {"cpu": "0"}), metrics.Observation(1.5, {"cpu": "1"})]]
)
latency = meter.create_histogram("latency", unit="ms")
for value in (1, 2, 30, 400, 90_000):
    latency.record(value, {"path": "/"})

assert meters.force_flush()
for part in (provider, meters, records):
    part.shutdown()
print(json.dumps({"spans": spans, "logs": logs}))
