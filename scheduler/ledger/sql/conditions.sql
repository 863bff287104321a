{#- Conditions shared by statements. r: a registration; w: its webinar; t: a row of `told`. -#}

{#- The delivery x is held because it may have gone out already. -#}
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

{#- A confirmation of r is still to go. One that is held (for lack of a text, say) does not count if an earlier one may
    have gone out. -#}
{% macro confirmation_to_go() -%}
(EXISTS ({{ on_registration() }} AND k.state IN ('pending', 'sending'))
 OR EXISTS ({{ on_registration() }} AND {{ still_to_go("k") }})
 AND NOT EXISTS ({{ on_registration() }} AND {{ may_be_out("k") }}))
{%- endmacro %}

{#- The link to join that mails to r hold. -#}
{% macro link() -%}
CASE WHEN w.forwards THEN w.join_url || r.key WHEN r.join_url <> '' THEN r.join_url ELSE w.join_url END
{%- endmacro %}

{#- r withdrew: the person does not come. -#}
{% macro withdrawn() -%}
EXISTS (SELECT 1 FROM choice c WHERE c.webinar = r.webinar AND c.address_folded = r.address_folded
        AND c.withdrawn_at IS NOT NULL)
{%- endmacro %}

{#- r caused as many mails within a day as a registrant may, by asking for one again, withdrawing and coming back. -#}
{% macro asked_enough() -%}
((SELECT count(*) FROM delivery q WHERE q.registration_id = r.id AND q.planned_at > :since
  AND (q.asked_by = 'registrant' OR q.message = {{ withdrawal }}) AND q.state <> 'cancelled') >= :most)
{%- endmacro %}

{#- r wants no mails of this webinar but that it is moved or cancelled. -#}
{% macro unsubscribed() -%}
EXISTS (SELECT 1 FROM suppression u WHERE u.address_folded = r.address_folded AND u.webinar = r.webinar)
{%- endmacro %}

{#- r wants no mails of the sequence. -#}
{% macro no_sequence() -%}
EXISTS (SELECT 1 FROM suppression s WHERE s.address_folded = r.address_folded AND s.webinar IN ('', r.webinar))
{%- endmacro %}

{#- The webinar does not take place for r. -#}
{% macro off() -%}
(w.cancelled OR {{ withdrawn() }})
{%- endmacro %}

{#- t has another time or status than w has for r. -#}
{% macro moved() -%}
(t.cancelled <> {{ off() }}
 OR NOT t.cancelled AND (t.starts_at IS NULL OR t.ends_at IS NULL
                         OR t.starts_at <> w.starts_at OR t.ends_at <> w.ends_at))
{%- endmacro %}

{#- t has anything that is not true for r, and of which r wants to hear. -#}
{% macro differs() -%}
({{ moved() }} OR NOT t.cancelled AND t.join_url <> {{ link() }} AND NOT {{ unsubscribed() }})
{%- endmacro %}

{% macro told_otherwise() -%}
EXISTS (SELECT 1 FROM told t WHERE t.uid = r.uid AND {{ differs() }})
{%- endmacro %}

{#- A changed link of the person's own waits before it is notified, as an edit does; a changed time or status does not
    wait for it. -#}
{% macro link_waits() -%}
(r.link_until > :now AND NOT EXISTS (SELECT 1 FROM told t WHERE t.uid = r.uid AND {{ moved() }}))
{%- endmacro %}

{#- The notice l says what is true. -#}
{% macro says_what_is_true(l) -%}
(w.cancelled AND {{ l }}.message = {{ cancellation }}
 OR {{ l }}.message = {{ withdrawal }} AND NOT w.cancelled AND {{ withdrawn() }}
 OR {{ l }}.message = {{ change }} AND NOT {{ off() }} AND {{ l }}.for_start = w.starts_at
    AND {{ l }}.for_end = w.ends_at AND {{ l }}.for_link = {{ link() }})
{%- endmacro %}

{#- The delivery l is the person's last notice that was not cancelled. -#}
{% macro is_the_last_notice(l) -%}
{{ l }}.message IN {{ notices }} AND {{ l }}.state <> 'cancelled'
AND NOT EXISTS (SELECT 1 FROM delivery z WHERE z.registration_id = r.id AND z.message IN {{ notices }}
                AND z.state <> 'cancelled' AND z.id > {{ l }}.id)
{%- endmacro %}

{#- The delivery d need not wait for an edit, or a changed link of the person's own, to take effect. Until then only
    confirmations leave, of a registration or a withdrawal. -#}
{% macro no_edit_waits(d) -%}
(w.waiting_id IS NULL OR {{ d }}.urgency = 0 AND {{ d }}.message NOT IN ({{ change }}, {{ cancellation }}))
AND ({{ d }}.urgency = 0 OR r.link_until IS NULL OR r.link_until <= :now)
{%- endmacro %}

{#- The delivery d may go out: r is planned by the present plan of w, and it need not wait for an edit. -#}
{% macro may_go() -%}
r.plan = w.plan
AND {{ no_edit_waits("d") }}
{%- endmacro %}

{#- The delivery f failed because a relay does not know the address that the person has now. -#}
{% macro refused_as_unknown(f) -%}
({{ f }}.state = 'failed'
 AND ({% for reason in refused_as_unknown_reasons %}{{ "" if loop.first else " OR " }}{{ f }}.reason LIKE {{ reason }}{% endfor %}))
{%- endmacro %}

{#- A relay refused the present address of the registration r as unknown: nothing is sent there. -#}
{% macro address_unknown(r) -%}
EXISTS (SELECT 1 FROM delivery f WHERE f.registration_id = {{ r }} AND {{ refused_as_unknown("f") }})
{%- endmacro %}

{#- The delivery d can be claimed: the condition of its partial indexes, word for word. -#}
{% macro free(d) -%}
{{ d }}.state = 'pending' AND {{ d }}.lease_token IS NULL
{%- endmacro %}
