# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Payloads change: which versions are there, who can still read them, and what would a change change?
#
# Events are kept for ever, and programs are not. A deposit that was written in January 2025 has another payload than one of
# today, and both have to be read by the program of today. This notebook asks a log which payloads it holds, reads old ones as
# new ones, and finds out what a change would do **before** it is made.
#
# The question comes from the finance department: how much was paid in, by currency?

# %% tags=["loaded"]
import workbench as wb
from workbench.bundled import account_summary, sample

bank = sample("bank")
log = wb.open()
log.load(wb.files(bank.events, name="bank"), prepare=[account_summary])

# %% tags=["asked"]
paid_in = wb.Projection(
    "paid_in",
    {"amount": wb.total("amount", on="DepositMade"), "deposits": wb.count(on="DepositMade")},
    key={"currency": "currency"},
    ignore=[
        "AccountOpened", "AccountClosed", "AccountFrozen", "AccountUnfrozen",
        "WithdrawalMade", "WithdrawalRejected",
    ],
)  # fmt: skip
answer = log.replay(paid_in)
answer

# %% [markdown]
# Read the note below the table: 1,737 deposits have no currency, and are in no row. The answer is too small, and without that
# line nobody would know.
#
# ## 1. The census
#
# `census` counts what is stored: each type in each version of its payload, when it was written, its fields, and whether
# there is a way from it to the newest version.

# %% tags=["census"]
census = log.census()
census

# %% tags=["chart"]
census.chart()

# %% [markdown]
# One version faded out while another faded in, and that took five months: the chart shows steps. Each channel (the web
# site, the app, the machines, the branches) was changed over on a day of its own:

# %% tags=["channels"]
log.where(types="DepositMade", condition="schema_version = '2'").sql("""
    SELECT data->>'channel' AS channel, min(recorded_at)::DATE AS first_day, count(*) AS deposits
    FROM events GROUP BY ALL ORDER BY first_day
""")

# %% [markdown]
# What did version 2 bring? Each cell says what type a field's values have, and in what share of the events the field is, where
# it is not in all:

# %% tags=["chart"]
census.fields("DepositMade").chart()

# %% [markdown]
# So version 1 knows neither `currency` nor `channel`. `census.drift()` lists fields that changed *within* a version, which
# nobody announced. Here there are none:

# %% tags=["drift"]
len(census.drift())

# %% [markdown]
# ## 2. An upcaster
#
# An upcaster says how a payload of one version becomes one of the next. It is applied while events are read. The log keeps
# what it received: that is what makes it evidence.
#
# The obvious one: most accounts are in euros, so let a missing currency be euros.

# %% tags=["upcast"]
in_euros = (
    wb.Upcaster("DepositMade", from_version="1", to_version="2")
    .add("currency", "EUR")
    .add("channel", "unknown")
)
log.upcast(in_euros).replay(paid_in)

# %% [markdown]
# No deposit is left out any more, and the census has no complaint:

# %% tags=["decodes"]
all(row["decodes"] for row in log.upcast(in_euros).census().rows())

# %% [markdown]
# The log that `upcast` gives has the same face as any other. Its `data` is the new payload, in frames and in SQL:

# %% tags=["payloads"]
log.upcast(in_euros).where(types="DepositMade").df()[["stream_id", "schema_version", "data"]].head(
    3
)

# %% [markdown]
# Renaming, splitting, merging, converting (by a factor, exactly, or by a SQL expression) and functions in Python work in the same
# way, and chains of them are checked. A gap or a circle is refused before anything is read:

# %% tags=["refused"]
from workbench.errors import ConfigError

try:
    log.upcast(in_euros, wb.Upcaster("DepositMade", from_version="3", to_version="4"))
except ConfigError as error:
    said = str(error)
said

# %% [markdown]
# ## 3. A default is a claim
#
# Is it true? The accounts can tell, since each was opened in a currency:

# %% tags=["claimed"]
claimed = log.sql("""
    SELECT opened.data->>'currency' AS account_in, count(*) AS deposits, sum((paid.data->>'amount')::DECIMAL(18,2)) AS amount
    FROM events paid JOIN events opened USING (stream_id)
    WHERE paid.event_type = 'DepositMade' AND paid.schema_version = '1' AND opened.event_type = 'AccountOpened'
    GROUP BY ALL ORDER BY deposits DESC
""")
claimed

# %% [markdown]
# No, not for 301 of them. An upcaster sees one payload, and the currency is not in it. It can only say that it does not know.
# What would that change? `impact` runs both over the whole history, and names the rows that differ, the columns, and the
# event from which on they do:

# %% tags=["honest"]
honest = (
    wb.Upcaster("DepositMade", from_version="1", to_version="2")
    .add("currency", "unknown")
    .add("channel", "unknown")
)
log.impact(in_euros, honest, of=paid_in)

# %% [markdown]
# So much of the euros was a guess, from the second event of the log on. Finance wants an answer, though, and the accounts
# have it. So ask: *what if* each of these deposits had said the currency of its account? A fork is the same log with some events dropped, edited
# or added. Nothing is written.

# %% tags=["fork"]
known = log.sql("""
    SELECT paid.position, opened.data->>'currency' AS currency
    FROM events paid JOIN events opened USING (stream_id)
    WHERE paid.event_type = 'DepositMade' AND paid.schema_version = '1' AND opened.event_type = 'AccountOpened'
""").rows()
fork = log.what_if(edit={row["position"]: {"currency": row["currency"]} for row in known})
fork.replay(paid_in)

# %% [markdown]
# That is the answer. And `against` says how far it is from what the log itself gave, at the top of this notebook:

# %% tags=["against"]
fork.against(paid_in).query("""
    SELECT currency, after_amount - before_amount AS amount, after_deposits - before_deposits AS deposits
    FROM result ORDER BY deposits DESC
""")

# %% [markdown]
# ## 4. A new version of a definition
#
# Definitions change, too. Compliance wants the risk score to begin at 500 instead of 1,000, and to weigh a freeze more. Which
# customers would see another score tomorrow, and since when would it have been another?

# %% tags=["impact"]
stricter = wb.Projection(
    "stricter_summary",
    {
        **account_summary.columns,
        "risk_score": (
            10 * wb.count(on="WithdrawalMade", where=wb.field("amount") > 500)
            + 40 * wb.count(on="AccountFrozen")
            + 5 * wb.count(on="WithdrawalRejected")
        ).clip(high=100),
    },
    key={"account_id": "event.stream_id"},
    on=account_summary.on,
    stream_type="account",
    ends="AccountClosed",
)
impact = log.impact(account_summary, stricter)
impact

# %% tags=["chart", "impact-chart"]
impact.chart()

# %% [markdown]
# *Passing* rows differed for a time and are the same today: the score is cut off at 100, and some accounts reach that by
# either rule. Each row names the event with which it began, so every single one can be explained to a customer:

# %% tags=["one-row"]
first = impact.rows(1)[0]
log.timeline(first["account_id"], account_summary).query(f"""
    SELECT version, position, event_type, data->>'amount' AS amount, risk_score FROM result
    WHERE position <= {first["first_position"]} ORDER BY position DESC LIMIT 3
""")

# %% [markdown]
# ## 5. Rules that travel with the events
#
# Some systems write into each event how older ones become like it. `migration_rules` reads that, as upcasters:

# %% tags=["rules"]
import json
import tempfile
from pathlib import Path

users = [
    {"stream_id": "u-1", "event_type": "UserRegistered", "schema_version": "1.0.0", "data": {"email": "ann@example.com"}},
    {
        "stream_id": "u-2", "event_type": "UserRegistered", "schema_version": "2.1.0",
        "data": {"email": "bob@example.com", "profile": {"name": "Bob"}},
        "metadata": {"migrationRules": [
            {"fromVersion": "1.0.0", "rule": "add_profile_field", "defaultValue": {"name": "Unknown"}}
        ]},
    },
]  # fmt: skip
with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "users.ndjson"
    path.write_text("\n".join(map(json.dumps, users)))
    registered = wb.open()
    registered.load(wb.files(path), progress=False)
rules = registered.migration_rules()
rules

# %% tags=["names"]
registered.upcast(*rules).sql(
    "SELECT stream_id, data->'profile'->>'name' AS name FROM events ORDER BY ALL"
)

# %% [markdown]
# ## What next
#
# - `workbench census LOG --upcasters mine.py` and `workbench impact LOG V1 V2` do this on the command line, for a pipeline: both
#   exit with 1 when there is something to look at.
# - [03_projection_diff](03_projection_diff.ipynb): a stored table against its events. A table that was filled without upcasters
#   shows there as *corrupted*.
# - `log.upcast(…)` goes wherever a log goes: `replay`, `history`, `diff`, `rates`.
# - [08_incident](08_incident.ipynb): a deployment that forgot its upcasters, and what that set off.
