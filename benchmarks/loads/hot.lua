-- One URL, again and again.
wrk.headers["Host"] = "get.acme.com"
wrk.headers["User-Agent"] = "curl/8.4.0"
wrk.headers["Accept"] = "*/*"
