# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Sagas: paid and never shipped, cancelled and never undone
#
# An order is not done in one place. Stock is reserved in one service, the payment is taken in another, a third one
# sends the parcel. No database transaction spans them. What holds them together is a **saga**: a process whose
# steps are each undone by a step of its own (a *compensation*) when a later one fails.
#
# Each service sees its own events and is content. Whether the *process* ended well, nobody sees. So ask the events:
# load those of a shop, from all its services.

# %% tags=["loaded"]
import workbench as wb
from workbench.bundled import checkout_saga, sample

log = wb.open()
log.load(wb.files(sample("checkout").events, name="checkout"))

# %% [markdown]
# ## 1. Say what the process is
#
# A definition names the events that begin the process, show its steps and end it. It changes nothing and runs
# nothing; it is how the events shall be read.

# %% tags=["definition"]
checkout_saga

# %% [markdown]
# Read it line by line. Stock is reserved for each line of the order in a stream of its own, so the step `reserve` has a
# **part** for each stream: two lines reserved are two parts of one step, not the same step done twice. A payment that
# failed may be tried again. And each step has a deadline: how long the saga may be idle while it waits for it.
#
# Your own reads the same way. This is the whole of a smaller one:

# %% tags=["own"]
small = wb.Saga(
    "payment",
    start="OrderCreated",
    steps=[
        wb.Step("pay", "PaymentProcessed", failure="PaymentFailed", deadline="1 hour"),
        wb.Step("ship", "OrderShipped", deadline="5 days"),
    ],
    cancelled="OrderCancelled",
)
log.sagas(small).counts

# %% [markdown]
# ## 2. What became of them?

# %% tags=["sagas"]
sagas = log.sagas(checkout_saga)
sagas

# %% [markdown]
# All events with one `correlation_id` are one saga, and each saga has exactly one outcome:
#
# | outcome | what it means |
# |---|---|
# | completed | the last step is done |
# | compensated | it was cancelled, and all that was done has been undone |
# | compensating | something failed, and it is on its way back |
# | failed | it was cancelled though something still stands, or it was given up on the way back |
# | stuck | it has been idle for longer than the step it waits for may take |
# | timed out | it started longer ago than the whole may take |
# | running | none of these |
#
# Deadlines are judged at a moment: here at the time of the log's last event, since the log cannot know what
# happened later.

# %% tags=["chart"]
sagas.chart()

# %% [markdown]
# Above, look along the rows. Orders that *timed out* began long ago, those that are *stuck* lately, and *running* ones are of
# the last days: they are no fault, the log ends while they are under way. *Failed* ones are spread thinly over the whole time,
# but two days at the turn of July are darker than all others. By week:

# %% tags=["weeks"]
sagas.over_time("1 week").query("""
    SELECT moment, sagas AS failed FROM result WHERE outcome = 'failed' ORDER BY sagas DESC LIMIT 4
""").df()

# %% [markdown]
# Three times as many in one week as in any other: worth asking what was changed then.
#
# In the lower half of the chart, each bar is a step, as long as sagas came to it. Most orders are lost at `pay`, and most of those are
# *compensated*: a declined card is business as usual. The other colours are not.

# %% tags=["funnel"]
sagas.funnel().df()

# %% [markdown]
# ## 3. Which ones do not go on by themselves?
#
# Nothing will happen to these any more, unless somebody does something. The longest idle first:

# %% tags=["stuck"]
sagas.stuck().query("""
    SELECT saga_id, outcome, step, idle, last_event, violations FROM result LIMIT 8
""").df()

# %% [markdown]
# What do they wait for? Count them by step:

# %% tags=["waiting"]
sagas.stuck().query("""
    SELECT step, count(*) AS sagas FROM result WHERE outcome IN ('stuck', 'timed out')
    GROUP BY step ORDER BY sagas DESC
""").df()

# %% [markdown]
# Most wait for `ship`: their customers have paid, and nothing was sent. How much money is that? Ask the payments of just
# these orders:

# %% tags=["money"]
unsent = [row["saga_id"] for row in sagas.of("stuck", "timed out").rows() if row["step"] == "ship"]
log.where(correlation=unsent, types="PaymentProcessed").sql(
    "SELECT count(*) AS payments, sum(CAST(data->>'amount' AS DECIMAL(18,2))) AS kept FROM events"
).df()

# %% [markdown]
# ## 4. Which rules were broken?
#
# An order can look well at its end and still have gone wrong on its way. Six rules hold for every saga:
#
# | broken rule | what it means |
# |---|---|
# | missing compensation | the saga failed, and something that should be undone still stands |
# | compensation in the wrong order | something was undone while a later step, which builds on it, still stood |
# | compensation of what never happened | a refund without a payment |
# | duplicate step | done again though it was done, or undone again though it was undone |
# | event after the end | something still happened when all was over |
# | step skipped | a step was done though one before it never was |

# %% tags=["violations"]
violations = sagas.violations()
violations.query(
    "SELECT violation, step, count(*) AS times FROM result GROUP BY ALL ORDER BY times DESC"
).df()

# %% [markdown]
# Each is shown by one event, with its stream and version, so that it can be looked up in the service that wrote it. Money
# first: where was the payment kept, though the order failed?

# %% tags=["kept"]
kept = sagas.violations("missing compensation").query("""
    SELECT saga_id, event_at, stream_id, version FROM result WHERE step = 'pay' ORDER BY event_at
""")
kept.df()

# %% [markdown]
# ## 5. One of them
#
# Take one in which goods were released in the wrong order, and see it in time. A bar begins where the event was that caused it
# (or the one before), and ends with its own.

# %% tags=["chart"]
wrong = sagas.violations("compensation in the wrong order").rows(1)[0]["saga_id"]
sagas.instance(wrong).chart()

# %% [markdown]
# All lines were reserved at once, the payment was declined, and then the first line was released first. It should have been
# the last one: compensations go backwards, so that nothing stands on what is already gone. Here it did no harm. Where
# the second reservation depends on the first, it does.
#
# The events behind it, as they were received:

# %% tags=["events"]
sagas.events(wrong).query("""
    SELECT version, stream_id, event_type, recorded_at, data->>'status' AS status FROM result
""").df()

# %% [markdown]
# ## 6. The ways they went
#
# A **variant** is a sequence of events, and all sagas that went that way. The first rows are the process as it was meant; what
# stands further down is what it really does as well. A `!` marks a way that breaks a rule.

# %% tags=["chart"]
sagas.variants().chart()

# %% [markdown]
# The same as a graph: which event directly follows which, how often, and the median time between them.

# %% tags=["chart"]
sagas.graph().chart()

# %% [markdown]
# And how long it takes. The axis is logarithmic: reserving takes a moment, shipping takes days. The black tick is the
# deadline, with the number of sagas that were later than that and still arrived.

# %% tags=["chart"]
sagas.durations().chart()

# %% [markdown]
# ## 7. Was it so a month ago?
#
# Every question can be asked of any moment. Then the log ends there, and deadlines are judged there:

# %% tags=["then"]
then = log.sagas(checkout_saga, as_of="2026-06-15T00:00Z")
{"now": sagas.counts["stuck"], "then": then.counts["stuck"]}

# %% [markdown]
# Those that were stuck then are not among today's: the whole may take 30 days, so they have timed out since, unless
# what they waited for came late after all.
#
# ## 8. Hand it over
#
# The list goes to whoever calls the customers. Process miners can go on with an object-centric event log (OCEL 2.0), in
# which each order is an object, and so are its payment, its parcel and each reservation.

# %% tags=["exported"]
import tempfile
from pathlib import Path

folder = Path(tempfile.mkdtemp(prefix="workbench-"))
sagas.stuck().df().to_csv(folder / "stuck.csv", index=False)
violations.df().to_parquet(folder / "violations.parquet")
wb.charts.save(sagas.chart(), folder / "sagas.html")
written = sagas.ocel(folder / "checkout.sqlite")
sorted(file.name for file in folder.iterdir()), written.events, written.objects

# %% [markdown]
# ## What next
#
# | outcome | do |
# |---|---|
# | stuck, timed out | find out why the step never came, then send its command again, or cancel and compensate |
# | failed | undo by hand what still stands (`.violations("missing compensation")` lists it), then mend the saga |
# | compensated, with broken rules | mend the saga: this time it did no harm |
#
# In a script, `workbench sagas` asks all of this, and tells by its exit code whether anything is wrong.
#
# - [05_dead_letters](05_dead_letters.ipynb): did the step never come because its message was given up?
# - [03_projection_diff](03_projection_diff.ipynb): is the table that shows these orders right?
# - [08_incident](08_incident.ipynb): both at once: stuck orders, dead letters and wrong rows of one bad day.
