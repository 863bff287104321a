{#- What several statements ask, each written once. r: a registration; w: its webinar; t: a row of `told`. -#}

{#- Held, and perhaps out already. -#}
{% macro doubtful(x) -%}
({{ x }}.state = 'held' AND {{ x }}.reason IN ({{ why.doubt }}, {{ why.restored }}))
{%- endmacro %}

{% macro may_be_out(x) -%}
({{ x }}.state IN ('sending', 'sent', 'in_doubt') OR {{ doubtful(x) }})
{%- endmacro %}

{% macro still_to_go(x) -%}
({{ x }}.state IN ('pending', 'sending', 'held') AND NOT {{ doubtful(x) }})
{%- endmacro %}

{% macro on_registration() -%}
SELECT 1 FROM delivery k WHERE k.registration_id = r.id AND k.urgency = 0 AND k.message NOT IN {{ notices }}
{%- endmacro %}

{#- What is held, as for want of a text, keeps nothing from somebody who was confirmed before. -#}
{% macro confirmation_to_go() -%}
(EXISTS ({{ on_registration() }} AND k.state IN ('pending', 'sending'))
 OR EXISTS ({{ on_registration() }} AND {{ still_to_go("k") }})
 AND NOT EXISTS ({{ on_registration() }} AND {{ may_be_out("k") }}))
{%- endmacro %}

{% macro link() -%}
CASE WHEN r.join_url <> '' THEN r.join_url ELSE w.join_url END
{%- endmacro %}

{#- t says another time than w, or another status. -#}
{% macro moved() -%}
(t.cancelled <> w.cancelled
 OR NOT w.cancelled AND (t.starts_at IS NULL OR t.ends_at IS NULL
                         OR t.starts_at <> w.starts_at OR t.ends_at <> w.ends_at))
{%- endmacro %}

{#- t says anything that is not true for r. -#}
{% macro differs() -%}
({{ moved() }} OR NOT w.cancelled AND t.join_url <> {{ link() }})
{%- endmacro %}

{% macro told_otherwise() -%}
EXISTS (SELECT 1 FROM told t WHERE t.uid = r.uid AND {{ differs() }})
{%- endmacro %}

{#- A changed link of one's own waits as an edit does; another time or status does not wait for it. -#}
{% macro link_waits() -%}
(r.link_until > :now AND NOT EXISTS (SELECT 1 FROM told t WHERE t.uid = r.uid AND {{ moved() }}))
{%- endmacro %}

{#- The notice l says what is true. -#}
{% macro says_what_is_true(l) -%}
(w.cancelled AND {{ l }}.message = {{ cancellation }}
 OR NOT w.cancelled AND {{ l }}.message = {{ change }} AND {{ l }}.for_start = w.starts_at
    AND {{ l }}.for_end = w.ends_at AND {{ l }}.for_link = {{ link() }})
{%- endmacro %}

{#- The person's last notice, but for those that were cancelled. -#}
{% macro is_the_last_notice(l) -%}
{{ l }}.message IN {{ notices }} AND {{ l }}.state <> 'cancelled'
AND NOT EXISTS (SELECT 1 FROM delivery z WHERE z.registration_id = r.id AND z.message IN {{ notices }}
                AND z.state <> 'cancelled' AND z.id > {{ l }}.id)
{%- endmacro %}

{#- No edit, and no changed link of the person's own, keeps a delivery back until it takes effect. Meanwhile only
    confirmations leave. -#}
{% macro no_edit_waits(d) -%}
(w.waiting_id IS NULL OR {{ d }}.urgency = 0 AND {{ d }}.message NOT IN {{ notices }})
AND ({{ d }}.urgency = 0 OR r.link_until IS NULL OR r.link_until <= :now)
{%- endmacro %}

{#- The delivery d may go out: r is planned by the present plan of w, and it need not wait for an edit. -#}
{% macro may_go() -%}
r.plan = w.plan
AND {{ no_edit_waits("d") }}
{%- endmacro %}

{#- A relay said by the delivery f that it does not know the address that the person has now. -#}
{% macro refused_as_unknown(f) -%}
({{ f }}.state = 'failed'
 AND ({% for reason in refused_as_unknown_reasons %}{{ "" if loop.first else " OR " }}{{ f }}.reason LIKE {{ reason }}{% endfor %}))
{%- endmacro %}

{#- Nothing is sent to the address that the registration r has now. -#}
{% macro address_unknown(r) -%}
EXISTS (SELECT 1 FROM delivery f WHERE f.registration_id = {{ r }} AND {{ refused_as_unknown("f") }})
{%- endmacro %}

{#- As the partial indexes of what may be claimed say it. -#}
{% macro free(d) -%}
{{ d }}.state = 'pending' AND {{ d }}.lease_token IS NULL
{%- endmacro %}
