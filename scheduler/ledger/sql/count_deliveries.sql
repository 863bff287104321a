-- The number of deliveries of one webinar by message and state, in the order of an index, so that nothing is sorted.
SELECT message
{% for state in states %}
     , sum(CASE WHEN state = '{{ state }}' THEN 1 ELSE 0 END) AS {{ state }}
{% endfor %}
     , sum(CASE WHEN state = 'skipped' AND reason = {{ why.unknown_address }} THEN 1 ELSE 0 END) AS unknown
FROM delivery WHERE webinar = :webinar GROUP BY message
