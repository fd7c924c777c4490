# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Dead letters: what was given up, and is it safe to send it again?
#
# It is the 13th of June, noon. Customers of a shop call: something is wrong with the payment of their orders. All services are up,
# and no queue is long: what a service could not process it has put aside, each in its own place and its own format. Such
# a message, which a consumer gave up, is a **dead letter**.
#
# Load the events of the shop, and then what ten consumers gave up: the records of eight dead-letter topics, and the dumps
# of two tables. Which framework wrote which is found out from the headers.

# %% tags=["loaded"]
import workbench as wb
from workbench.bundled import sample

folder = sample("checkout").events.parent
log = wb.open()
log.load(wb.files(sample("checkout").events, name="checkout"))
for name in ("dead_letters", "dead_letters_axon", "dead_letters_wolverine"):
    log.load(wb.dead_letters(folder / f"{name}.parquet", name=name))

then = log.as_of("2026-06-13T12:00Z")
letters = then.dead_letters()
letters

# %% [markdown]
# From a running system it is `wb.dead_letters(wb.kafka("broker:9092", "orders.dlq"))`, or a table of Postgres. All formats come into one
# table. What a format does not tell is NULL, and is never made up:

# %% tags=["formats"]
letters.query("""
    SELECT format, count(*) AS letters, count(dead_lettered_at) AS say_when, count(consumer) AS say_who,
        count(attempts) AS say_how_often FROM result GROUP BY format ORDER BY letters DESC
""").df()

# %% [markdown]
# ## 1. How many, of how many?
#
# Fifty dead letters are a disaster or nothing: it depends on what they are fifty of. So a rate always stands beside both of its
# numbers. An event that two consumers gave up counts once, and it is divided by the events *of its own type*.

# %% tags=["rates"]
letters.by("event_type").query(
    "SELECT event_type, dead_letters, given_up, events, rate FROM result"
).df()

# %% [markdown]
# Over time, by consumer:

# %% tags=["chart"]
letters.chart(by="consumer")

# %% [markdown]
# Some letters are given up every week: a timeout here, a lock there. Two times stand out. In the middle of May it was
# `shipping-service`. Now it is `payment-service`, in the last two days, and a triangle above says that something failed there in a
# way that was never seen before.
#
# ## 2. What is new?
#
# A **fingerprint** is the class of an error and the first frame of its root cause: order numbers, addresses and line numbers
# differ from letter to letter, and these two do not. New is what was first seen since a moment that you name; take the last
# release, a week ago.

# %% tags=["chart"]
fingerprints = letters.fingerprints(new_since="2026-06-06T00:00Z")
fingerprints.chart()

# %% tags=["new"]
fingerprints.query("""
    SELECT fingerprint, error, dead_letters, consumers, types, seen_from FROM result WHERE new
""").df()

# %% [markdown]
# That is it: a price of a bundle that is null, since the evening of the 10th. What does one of them say?

# %% tags=["message"]
ours = fingerprints.rows(1)[0]["fingerprint"]
incident = log.dead_letters(fingerprint=ours)
incident.messages().rows(1)[0]["error_stack"].splitlines()

# %% [markdown]
# How bad is it? Over the whole log it hardly shows. In the days in which it went wrong, every seventh reservation was given up:

# %% tags=["share"]
days = log.between("2026-06-10T00:00Z", "2026-06-14T00:00Z").dead_letters(fingerprint=ours)
{
    when: (row["given_up"], row["events"], round(row["rate"], 4))
    for when, found in (("all the time", incident), ("those days", days))
    for row in found.by("event_type").rows()
}

# %% [markdown]
# ## 3. Had they tried?
#
# Where it is told, the number of attempts shows who retries what. An error that no retry can mend was given up at the first
# attempt, if the consumer knows that.

# %% tags=["chart"]
letters.attempts().chart()

# %% [markdown]
# And how long did they try? Kafka Connect and Kafka Streams do not note when they gave up; there it is *n/a*, and the
# note says why.

# %% tags=["times"]
letters.time_to_dead_letter().query(
    "SELECT consumer, dead_letters, known, p50, longest, note FROM result"
).df()

# %% [markdown]
# ## 4. Which of them failed by themselves?
#
# `invoicing` parks the whole sequence of an order when one of its events fails: what comes later waits behind it, and was
# never tried. Such letters are **blocked**; those that failed by themselves are **roots**. Only roots have to be mended.

# %% tags=["roles"]
letters.where(consumer="invoicing").query("""
    SELECT sequence_id, list(role ORDER BY sequence_index) AS roles,
        list(event_type ORDER BY sequence_index) AS events FROM result
    GROUP BY sequence_id HAVING count(*) > 1 ORDER BY sequence_id LIMIT 4
""").df()

# %% tags=["by_role"]
{row["role"]: row["dead_letters"] for row in letters.by("role").rows()}

# %% [markdown]
# ## 5. What was processed since?
#
# The bug is mended, it is July, and the letters of that fingerprint shall be sent again. That is not free of risk: the world
# went on. For each stream, count the events behind the first one that was given up:

# %% tags=["streams"]
incident.streams().query("""
    SELECT stream_id, given_up, first_version, later_events, last_event_at FROM result LIMIT 5
""").df()

# %% [markdown]
# Two of the reservations were released since. To send them again would reserve goods for an order that is no more. Would
# the consumer notice?
#
# ## 6. Try it first
#
# Write down what the consumer does, as a **fold**: one handler for each type of event. This one keeps the reserved goods of an
# order, and refuses to reserve for one that is cancelled.

# %% tags=["fold"]
from dataclasses import dataclass


@dataclass
class Order:
    items: int = 0
    cancelled: bool = False


def placed(order): ...


def reserved(order, quantity: int):
    if order.cancelled:
        raise ValueError("the order is cancelled: nothing is reserved for it")
    order.items += quantity


def released(order, quantity: int):
    order.items -= quantity


def cancelled(order):
    order.cancelled = True


reservations = wb.Fold(
    "reservations",
    Order,
    {
        "OrderCreated": placed,
        "InventoryReserved": reserved,
        "InventoryReleased": released,
        "OrderCancelled": cancelled,
    },
    key={"order_id": "orderId"},
)
plan = incident.redrive(reservations, to="payment-service.again")
plan

# %% [markdown]
# Nothing was sent. Each event was applied twice: in its place among the events of its order, and behind all of them, where it
# arrives when it is sent now. One that fails there is *held back*: it would be a dead letter again, or do harm.

# %% tags=["verdicts"]
plan.verdicts, plan.counts

# %% tags=["held"]
plan.query("""
    SELECT n, stream_id, version, verdict, why, later_events FROM result WHERE state = 'held back'
""").df()

# %% [markdown]
# Those two are for a person: look at their orders, then decide. The first one:

# %% tags=["order"]
held = plan.query("SELECT dead_letter_id FROM result WHERE state = 'held back'").rows()[0]
(letter,) = incident.where(condition=f"dead_letter_id = {held['dead_letter_id']}").rows()
log.where(correlation=letter["correlation_id"]).sql("""
    SELECT recorded_at, stream_id, event_type, data->>'status' AS status FROM events ORDER BY recorded_at
""").df()

# %% [markdown]
# The same can be asked of *all* dead letters, before anybody presses 'retry all'. Some are ignored by this fold, since it is
# another consumer's business; some cannot be read at all, and no re-drive mends that.

# %% tags=["all"]
everything = log.dead_letters().redrive(reservations)
everything.verdicts, everything.counts

# %% [markdown]
# ## 7. Send it
#
# This part needs a broker, so here it is only told. Sending is a verb of its own, and the only one of these that writes
# anywhere:
#
# ```python
# log = wb.open("incident.duckdb")               # a file: the re-drive keeps its journal in it
# plan = log.dead_letters(fingerprint=ours).redrive(reservations, to="payment-service.again")
# plan.send("broker:9092", rate=20)              # 13 messages, 20 a second at most
# ```
#
# | what it does | so that |
# |---|---|
# | sends key, value and headers as they were, to the same partition, each when the one before it is acknowledged | order is kept |
# | adds two headers: `workbench-redrive-id`, and `workbench-redrive-of` with the place of the dead letter | each message can be recognised, by you and by the consumer |
# | notes in the log's file what is about to be sent, and what has arrived | a second `send` repeats nothing |
# | when it was killed, even with `kill -9`, and is run again: looks for its marks in the topic first | nothing is sent twice, and nothing is left out |
# | sends to a topic that exists, and makes none | a slip of the pen stays one |
#
# `to=` names a topic of the one consumer that failed. Without it, each event goes to the topic it came from, and *every*
# consumer of that topic sees it again.
#
# Then load the topic and the dead-letter topic once more, and ask what became of them:
#
# ```python
# log.load(wb.kafka("broker:9092", "payment-service.again"))
# log.load(wb.dead_letters(wb.kafka("broker:9092", "checkout.inventory-dlt")))
# log.redrives()                                 # arrived, failed again, not seen
# ```
#
# A message that failed again is a dead letter that knows it: `redrives` counts how often. It is the same event still, and counts once in every
# rate.
#
# In a shell, all of it is `workbench dlq incident.duckdb`, with `--fingerprints`, `--redrive` and, at the very end, `--send`.

# %% tags=["redrives"]
log.redrives().notes

# %% [markdown]
# ## What next
#
# | you see | do |
# |---|---|
# | a new fingerprint | ask what was released when it was first seen |
# | roots with followers | mend the roots; the others go on by themselves |
# | *folds* | send it again, to the one consumer that failed |
# | *fails late* | the world went on: decide by hand, or mend what it left behind |
# | *unreadable* | no re-drive helps: publish the event anew from its source |
#
# - [03_projection_diff](03_projection_diff.ipynb): did the read model suffer? A stored table against its events.
# - [04_sagas](04_sagas.ipynb): which orders are stuck because of what was given up.
# - [06_schema_evolution](06_schema_evolution.ipynb): payloads that changed their shape, which is what many dead letters are.
# - [08_incident](08_incident.ipynb): how parked messages and a wrong read model come from one cause.
