-- Ends every script: one line of exact figures, where wrk's own lines are rounded.
function done(summary, latency, requests)
  local e = summary.errors
  print(string.format(
    'figures {"requests":%d,"bytes":%d,"microseconds":%d,"connect":%d,"read":%d,"write":%d,"status":%d,"timeout":%d}',
    summary.requests, summary.bytes, summary.duration, e.connect, e.read, e.write, e.status, e.timeout))
end
