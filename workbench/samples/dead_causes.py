"""Who reads the checkout's events, and why some of these were given up.

A service reads some types of events with one framework, and its dead letters have the format of that. A cause
is one thing that went wrong: from when to when, for which types, how often. Each cause has its own error
class (or, where a format tells none, its own message), so that a cause is a fingerprint.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Service:
    """One consumer.

    Attributes
    ----------
    name, format
        Of the consumer, and of its dead letters.
    target
        The topic that it writes dead letters to; empty where they go to a table, or to a topic for each
        topic that is read.
    types
        The event types that it reads.
    """

    name: str
    format: str
    target: str
    types: tuple[str, ...]


EVERYTHING: Final = (
    "OrderCreated", "InventoryReserved", "InventoryReservationFailed", "PaymentProcessed", "PaymentFailed",
    "InventoryReleased", "OrderShipped", "OrderCompleted", "OrderCancelled", "PaymentRefunded",
    "ShipmentFailed",
)  # fmt: skip

SERVICES: Final = (
    Service("inventory-service", "reference", "events.dead-letter", ("OrderCreated", "PaymentFailed")),
    Service("payment-service", "spring", "", ("InventoryReserved",)),
    Service("shipping-service", "spring_retry", "", ("PaymentProcessed",)),
    Service(
        "notification-service",
        "smallrye",
        "dead-letter-topic-notifications",
        ("OrderShipped", "OrderCompleted", "OrderCancelled"),
    ),
    Service("orders-lake-sink", "connect", "orders-lake-sink.dlq", EVERYTHING),
    Service(
        "fraud-scoring",
        "streams",
        "fraud-scoring.dlq",
        ("OrderCreated", "PaymentProcessed", "PaymentFailed"),
    ),
    Service(
        "invoicing",
        "axon",
        "",
        ("PaymentProcessed", "PaymentRefunded", "OrderCompleted", "OrderCancelled"),
    ),
    Service("loyalty", "wolverine", "", ("OrderCompleted", "PaymentRefunded")),
    Service("crm", "nservicebus", "error", ("OrderCreated", "OrderCancelled")),
    Service("warehouse", "masstransit", "warehouse_error", ("InventoryReleased", "OrderShipped")),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Cause:
    """One thing that went wrong.

    Attributes
    ----------
    name, service
        Of the cause; of the consumer that gave events up.
    types
        The event types that it hits.
    share
        How often, of these.
    error, message, frame
        Class, message and first frame of the error. In the message ``{order}`` is the order's id,
        ``{number}`` a number of three digits and ``{uuid}`` a UUID; these differ from letter to letter.
        An empty class: the format tells none.
    attempts, pause
        How often the consumer tried, and seconds from one attempt to the next.
    since, until
        Days of the log between which it went wrong.
    poison
        Whether the record's value was cut off in the middle.
    """

    name: str
    service: str
    types: tuple[str, ...]
    share: float
    error: str
    message: str
    frame: str
    attempts: int
    pause: float
    since: float = 0.0
    until: float = 1e6
    poison: bool = False


#: Later events of an order whose first one is parked; they were never tried.
BLOCKED: Final = "order_parked"

CAUSES: Final = (
    Cause(
        "stock_database_timeout", "inventory-service", ("OrderCreated", "PaymentFailed"), 0.015,
        "", "connect ETIMEDOUT 10.3.0.{number}:5432", "", 5, 12.75,
    ),
    Cause(
        "lines_undefined", "inventory-service", ("OrderCreated",), 0.25,
        "TypeError", "Cannot read properties of undefined (reading 'warehouse') in {order}",
        "at reserve (/app/handlers/reserve.js:88:17)", 5, 12.75, 88.4, 91.3,
    ),
    Cause(
        "risk_gateway_timeout", "payment-service", ("InventoryReserved",), 0.007,
        "java.net.SocketTimeoutException", "Read timed out after 3{number} ms calling risk-gateway for {order}",
        "at com.shop.payment.RiskGateway.assess(RiskGateway.java:118)", 4, 20.0,
    ),
    Cause(
        "bundle_price_null", "payment-service", ("InventoryReserved",), 0.22,
        "java.lang.NullPointerException",
        "Cannot invoke \"java.math.BigDecimal.add()\" because \"bundlePrice\" is null",
        "at com.shop.payment.BundlePricing.total(BundlePricing.java:57)", 4, 20.0, 70.6, 73.1,
    ),
    Cause(
        "carrier_unavailable", "shipping-service", ("PaymentProcessed",), 0.015,
        "org.springframework.web.client.HttpServerErrorException$ServiceUnavailable",
        "503 Service Unavailable from carrier-api-{number} for {order}",
        "at com.shop.shipping.CarrierClient.book(CarrierClient.java:203)", 4, 70.0,
    ),
    Cause(
        "truncated_payload", "shipping-service", ("PaymentProcessed",), 0.75,
        "com.fasterxml.jackson.core.io.JsonEOFException",
        "Unexpected end-of-input at column {number}: expected close marker for Object",
        "at com.fasterxml.jackson.core.base.ParserMinimalBase._reportInvalidEOF(ParserMinimalBase.java:697)",
        1, 0.0, 41.4, 42.7, True,
    ),
    Cause(
        "mail_rejected", "notification-service", ("OrderShipped", "OrderCompleted"), 0.007,
        "jakarta.mail.SendFailedException", "451 4.7.{number} Temporary failure, message {uuid} was not queued",
        "at com.shop.notify.Mailer.send(Mailer.java:76)", 3, 5.0,
    ),
    Cause(
        "no_template", "notification-service", ("OrderCancelled",), 0.05,
        "java.lang.IllegalArgumentException", "No template for a cancelled order ({order})",
        "at com.shop.notify.Templates.choose(Templates.java:34)", 1, 0.0, 30.0,
    ),
    Cause(
        "lake_rejects_record", "orders-lake-sink", EVERYTHING, 0.002,
        "org.apache.kafka.connect.errors.DataException", "Field at column {number} is not of the expected type",
        "at io.shop.connect.LakeSinkTask.put(LakeSinkTask.java:143)", 1, 0.0,
    ),
    Cause(
        "refund_schema_missing", "orders-lake-sink", ("PaymentRefunded",), 0.5,
        "org.apache.kafka.connect.errors.SchemaBuilderException",
        "No schema version {number} for a refund of {order}",
        "at io.shop.connect.Schemas.lookup(Schemas.java:61)", 1, 0.0, 60.0, 95.0,
    ),
    Cause(
        "score_store_closed", "fraud-scoring", ("OrderCreated", "PaymentProcessed"), 0.004,
        "org.apache.kafka.streams.errors.InvalidStateStoreException",
        "The state store scores-{number} may have migrated to another instance",
        "at com.shop.fraud.ScoreProcessor.process(ScoreProcessor.java:91)", 1, 0.0,
    ),
    Cause(
        "division_by_zero", "fraud-scoring", ("PaymentFailed",), 0.06,
        "java.lang.ArithmeticException", "/ by zero", "at com.shop.fraud.Ratio.of(Ratio.java:22)", 1, 0.0,
    ),
    Cause(
        "tax_rule_missing", "invoicing", ("PaymentProcessed",), 0.013,
        "com.shop.invoicing.TaxRuleNotFoundException", "No tax rule {number} for {order}",
        "at com.shop.invoicing.TaxRules.forOrder(TaxRules.java:48)", 1, 0.0,
    ),
    Cause(
        "points_table_locked", "loyalty", ("OrderCompleted", "PaymentRefunded"), 0.016,
        "Npgsql.PostgresException", "55P03: could not obtain lock on row in relation \"points\" (pid {number})",
        "", 3, 4.0,
    ),
    Cause(
        "customer_unknown", "crm", ("OrderCreated",), 0.011,
        "Crm.CustomerNotFoundException", "Customer of {order} was not found",
        "at Crm.Handlers.OrderCreatedHandler.Handle(OrderCreated message) in /src/Crm/OrderCreatedHandler.cs:line 41",
        6, 10.0,
    ),
    Cause(
        "crm_throttled", "crm", ("OrderCancelled",), 0.05,
        "System.Net.Http.HttpRequestException", "Response status code does not indicate success: 429 after {number} ms",
        "at Crm.Api.Client.Post(String path) in /src/Crm/Api/Client.cs:line 87", 6, 10.0,
    ),
    Cause(
        "shelf_occupied", "warehouse", ("InventoryReleased",), 0.05,
        "Warehouse.ShelfOccupiedException", "Shelf {number} is occupied",
        "at Warehouse.Shelves.PutBack(Int32 shelf) in /src/Warehouse/Shelves.cs:line 66", 4, 15.0,
    ),
    Cause(
        "label_printer_offline", "warehouse", ("OrderShipped",), 0.009,
        "System.TimeoutException", "Label printer {number} did not answer for {order}",
        "at Warehouse.Labels.Print(String order) in /src/Warehouse/Labels.cs:line 29", 4, 15.0,
    ),
)  # fmt: skip
