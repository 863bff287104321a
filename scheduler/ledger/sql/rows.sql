{#- Rows passed to a statement in one parameter, a JSON array of arrays: the columns in order, with PostgreSQL's types. -#}

{#- `outcomes.begin`: mails about to be sent. -#}
{% macro starts() -%}
{{ rows("starts", {"id": "bigint", "token": "text", "message_id": "text", "relay": "text", "address": "text",
                   "language": "text", "text_revision": "bigint", "at": "timestamptz", "revision_id": "bigint"}) }} AS s
{%- endmacro %}

{#- `outcomes.conclude`: outcomes of attempts. -#}
{% macro outcomes() -%}
{{ rows("outcomes", {"id": "bigint", "token": "text", "state": "text", "reason": "text", "counts": "integer",
                     "again_at": "timestamptz", "sent_at": "timestamptz", "attempt": "text", "at": "timestamptz",
                     "stage": "text", "code": "integer", "enhanced": "text", "reply": "text"}) }} AS o
{%- endmacro %}

{#- `outcomes.begin`: versions of invitations. -#}
{% macro versions() -%}
{{ rows("versions", {"registration_id": "bigint", "uid": "text", "sequence": "integer", "method": "text",
                     "dtstamp": "timestamptz", "says": "text", "calendar": "bytea"}) }} AS v
{%- endmacro %}

{#- `told`: the keys of mails. -#}
{% macro mails() -%}
{{ rows("mails", {"uid": "text", "delivery_id": "bigint", "lease_token": "text"}) }} AS n
{%- endmacro %}

{#- `told.record_told`: mails with the facts that they tell. -#}
{% macro facts() -%}
{{ rows("facts", {"uid": "text", "delivery_id": "bigint", "lease_token": "text", "starts_at": "timestamptz",
                     "ends_at": "timestamptz", "join_url": "text", "cancelled": "boolean",
                     "invited": "boolean"}) }} AS n
{%- endmacro %}
