# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Time travel
#
# For the analyst. "What was the balance on 31 March?" sounds like one question. It is two, and they have
# different answers. This notebook asks both, then asks about all moments at once, then leaves SQL for plain
# Python where the order of events matters.
#
# First the data: a bank's events, and what a row shall be. A **projection** says what each column is. Nothing
# is computed yet.

# %% tags=["loaded"]
import workbench as wb
from workbench.bundled import sample

log = wb.open()
log.load(wb.files(sample("bank").events, name="bank"))

# %%
accounts = wb.Projection(
    "accounts",
    {
        "owner": wb.first("owner", on="AccountOpened"),
        "balance": wb.total("amount", on="DepositMade") - wb.total("amount", on="WithdrawalMade"),
        "refused": wb.count(on="WithdrawalRejected"),
        "frozen": wb.count(on="AccountFrozen") - wb.count(on="AccountUnfrozen"),
    },
    key={"account_id": "event.stream_id"},
    ends="AccountClosed",
)
accounts

# %% [markdown]
# Money is added up as exact decimals, never as floating-point numbers. `frozen` is 1 while an account is frozen
# and 0 otherwise. `ends` names the event that ends a row: a closed account has none.
#
# ## 1. Two clocks
#
# Each event carries two times. `occurred_at` is when it happened, `recorded_at` is when the bank wrote it down.
# Mostly they are milliseconds apart. But some deposits made at a branch are keyed in a day or more later:

# %% tags=["late"]
log.sql("""
    SELECT stream_id, version, occurred_at, recorded_at, data->>'amount' AS amount
    FROM events
    WHERE recorded_at > occurred_at + INTERVAL 1 DAY
      AND occurred_at < '2026-03-31T12:00Z' AND recorded_at > '2026-03-31T12:00Z'
""")

# %% [markdown]
# That deposit straddles the end of the quarter. It was made on 30 March and written down on 1 April. So what was
# on the account at noon on 31 March? It depends on what you ask.

# %% tags=["clocks"]
noon = "2026-03-31T12:00Z"


def balance(**moment):
    row = log.replay(accounts, noon, stream="acc-000209", **moment).rows()[0]
    return str(row["balance"])


{
    "what the bank knew at that time": balance(clock="recorded"),
    "what was true at that time": balance(clock="occurred"),
    "what was believed about it on 1 April": balance(known_at="2026-04-01T12:00Z"),
    "what was believed about it on 2 April": balance(known_at="2026-04-02T12:00Z"),
}

# %% [markdown]
# The first is the **recorded** clock: it reproduces a report as it was printed that day. The second is the
# **occurred** clock: it says what we now know to have been so. The last two use both, `known_at` for the
# recorded clock, and show the very day on which the bank learnt better. An auditor who asks "why did your March
# report say something else?" has the answer in one cell.
#
# Which accounts are affected? A result carries the SQL that makes it, so one question can be built from two others:

# %% tags=["affected"]
known = log.replay(accounts, noon, clock="recorded")
happened = log.replay(accounts, noon, clock="occurred")
log.sql(f"""
    SELECT account_id, known.balance AS known_then, happened.balance AS was_true
    FROM ({known.sql}) known JOIN ({happened.sql}) happened USING (account_id)
    WHERE known.balance <> happened.balance
""")

# %% [markdown]
# If you name no clock, the log takes the one on which it knows more events, and the title of the result says
# which.
#
# ## 2. All moments at once
#
# A replay is the state at one moment. A **history** is every state that there ever was, each with the interval in
# which it held: from `valid_from` (included) until `valid_to` (not included; NULL means it still holds). Here
# are the last states of an account that got into trouble in the summer. `query` asks a result on, in SQL, and calls
# its rows `result`:

# %% tags=["history"]
history = log.history(accounts)
history.query("""
    SELECT valid_from, valid_to, version, event_type, balance, refused, frozen
    FROM result WHERE account_id = 'acc-000452' AND version > 28 ORDER BY version
""")

# %% [markdown]
# A large withdrawal, a freeze on the next day, a withdrawal refused, and the freeze lifted. As a picture:

# %% tags=["chart"]
log.timeline("acc-000452", accounts).chart()

# %% [markdown]
# A history cut at a moment is the replay at that moment. Not nearly: exactly.

# %% tags=["same"]
cut = history.at(noon)
replayed = log.replay(accounts, noon, clock="recorded")
columns = (
    "SELECT account_id, owner, balance, refused, frozen, version FROM result ORDER BY account_id"
)
same = cut.query(columns).rows() == replayed.query(columns).rows()
same

# %% [markdown]
# Row for row, and to the last cent.
#
# Added up over all accounts, a history becomes a portfolio. All money in the bank:

# %% tags=["chart"]
history.over_time("balance", every="1 week").chart()

# %% [markdown]
# And the same for another column. How many accounts were frozen, looking every second day?

# %% tags=["chart"]
history.over_time("frozen", every="2 days").chart()

# %% [markdown]
# ## 3. SQL over all of it
#
# `log.sql` asks the events. `data` is JSON, `->>` takes a field out of it as text. The business, quarter by quarter:

# %% tags=["quarters"]
log.sql("""
    SELECT strftime(occurred_at, '%Y') || ' Q' || quarter(occurred_at) AS quarter,
           count(DISTINCT stream_id) AS accounts,
           sum((data->>'amount')::DECIMAL(18,2)) FILTER (event_type = 'DepositMade') AS paid_in,
           sum((data->>'amount')::DECIMAL(18,2)) FILTER (event_type = 'WithdrawalMade') AS paid_out,
           count(*) FILTER (event_type = 'WithdrawalRejected') AS refused
    FROM events GROUP BY quarter ORDER BY quarter
""")

# %% [markdown]
# Asked over a history, questions about *durations* become simple. Who was frozen longest, all their freezes
# together, and how much was out of their reach?

# %% tags=["frozen"]
history.query("""
    SELECT account_id, any_value(owner) AS owner, min(valid_from) AS first_frozen,
           round(sum(epoch(valid_to - valid_from)) / 3600, 1) AS hours, max(balance) AS most_on_it
    FROM result WHERE frozen > 0 AND valid_to IS NOT NULL
    GROUP BY account_id ORDER BY hours DESC LIMIT 5
""")

# %% [markdown]
# ## 4. Moments without a clock
#
# Times are for people. For evidence there are two exact numbers: the **position** in the whole log, and the
# **version** in a stream. They do not depend on any clock, so whoever has the same log gets the same answer. The bank as it stood
# after its first ten thousand events:

# %% tags=["position"]
log.replay(accounts, position=10_000)

# %% [markdown]
# And the account from above, one event before it was frozen:

# %% tags=["version"]
log.replay(accounts, stream="acc-000452", version=32).rows()[0]["frozen"]

# %% [markdown]
# `as_of` narrows the log itself. What comes back has all the verbs, with nothing in it from after that moment:

# %% tags=["as-of"]
log.as_of(position=10_000)

# %% [markdown]
# ## 5. Where order matters: a fold
#
# Sums and counts do not care in which order events come. Some questions do. *How far did an account ever fall
# below its best day?* To know that you walk through its life, keep the highest balance so far, and look at each
# step how deep it has fallen. That is a **fold**: ordinary Python, one small function for each event type.
# Parameters after the state say what a function wants to know about the event.

# %%
from dataclasses import dataclass
from decimal import Decimal


@dataclass
class Balance:
    balance: Decimal = Decimal(0)
    highest: Decimal = Decimal(0)
    deepest_fall: Decimal = Decimal(0)


def deposited(state: Balance, amount: Decimal):
    state.balance += amount
    state.highest = max(state.highest, state.balance)


def withdrawn(state: Balance, amount: Decimal):
    state.balance -= amount
    state.deepest_fall = max(state.deepest_fall, state.highest - state.balance)


falls = wb.Fold(
    "falls",
    Balance,
    {"DepositMade": deposited, "WithdrawalMade": withdrawn},
    key={"account_id": "event.stream_id"},
    ends="AccountClosed",
    ignore=["AccountOpened", "WithdrawalRejected", "AccountFrozen", "AccountUnfrozen"],
)
falls

# %% [markdown]
# It has the same verbs as a projection, and can be asked on in the same way. The five deepest falls:

# %% tags=["falls"]
deepest = log.replay(falls).query("FROM result ORDER BY deepest_fall DESC LIMIT 5")
deepest

# %% [markdown]
# The last of these, step by step:

# %% tags=["chart"]
account = deepest.rows()[-1]["account_id"]
log.timeline(account, falls).chart()

# %% [markdown]
# Events that no function names are not dropped in silence. `ignore` says that we know these and do not need them;
# without it, the result would say how many it did not apply.
#
# ## 6. Faster, if you ask often
#
# Payloads are JSON text, and taking a number out of text costs time. `prepare` gives the fields that a definition
# reads columns of their own. What the log says stays the same, and its fingerprint proves it.

# %% tags=["prepare"]
before = log.fingerprint()
added = log.prepare(accounts)
added, log.fingerprint() == before

# %% [markdown]
# ## What next
#
# - [03_projection_diff](03_projection_diff.ipynb): a stored table against the replay, and the cause of each wrong row.
# - [06_schema_evolution](06_schema_evolution.ipynb): replay payloads that have changed their shape meanwhile.
# - [07_audit](07_audit.ipynb): one account's history, with who and why, as evidence.
