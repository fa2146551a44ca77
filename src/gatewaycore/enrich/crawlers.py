"""Agents that no person and no build is waiting for: crawlers, previews, monitors, feed fetchers, scanners.

This room knows words and names, and works on lower-case text only. It refuses to decide who is exempt: a package client called
"spider" is the business of `gatewaycore.enrich.client`, which asks here only about browsers, libraries and strangers.

There is no list of whole user agents here. Most crawlers say what they are (a word such as "bot" or "crawler"), many leave an
address for complaints ("+https://..."), and what remains are names, looked up word by word in a set, which costs the same for ten
names as for ten thousand.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["find_crawler", "find_named_crawler", "is_scanner"]


def _words(table: str) -> list[str]:
    return table.split()


_WORD: Final = re.compile(r"[a-z0-9]+")

# Words that no maker of browsers puts into a user agent.
_STRONG: Final = (
    "crawl", "spider", "slurp", "scraper", "scraping", "scrapy", "robot", "headless", "lighthouse", "fetcher", "validator", "uptime",
    "archiver", "archiving", "indexer", "harvest", "checker", "linkcheck", "link check", "extractor", "phantomjs", "slimerjs", "botify",
    "botseer", "previewer", "preview service", "screenshot", "screen shot", "thumbnail", "thumbshot", "favicon", "pagespeed", "page speed",
    "prerender", "webhook", "web hook", "pingback", "monitorss", "prefetch proxy",
)  # fmt: skip
# The same, where it takes a neighbour to tell: "cubot" is a maker of telephones, "Seoul" a city, "-agent" in front a library.
_STRONG_NEAR: Final = re.compile(
    r"(?<!cu)bot(?![a-rt-z])|synthetic(?:s|user)?\b|monitor(?:ing)?\b|(?<=[a-z]{3})scan(?:ner)?(?=[/\s;)]|$)|\s[\w-]*agent(?=[/\s;)]|$)|"
    r"(?:web|link|url|uri|page|site|image|img|bing|slack|skype|microsoft|snap|social|rich)[-_ ]?preview|"
    r"(?:feed|rss)[-_ ]?(?:burner|fetch|pars|read|bin|ly|spot|seek|search|press|box|demon|mon)|"
    r"(?:web|site) ?(?:scan|sniff|archiv|test|measur|audit|cop|check|improve|explor|map|lock|monitor)|"
    r"(?:url|domain|port|vuln\w{0,12}|security|seo|page|image|ads?|wp|content|ssl|tls) ?-?"
    r"(?:scan|audit|analy|inspect|test|monitor|resolv|stat)|"
    r"\bseo(?!ul)|seo\b|(?:compatible ?;|\s|^)\s?[a-z][\w-]*\.(?:com|net|org|io)(?:$|[\s;),/])|-google(?=[\s/;)]|$)|[\s;(]google-"
)
# One of these is in everything that `_STRONG_NEAR` can find; looking for them first spares browsers the expression.
_STEMS: Final = (
    "bot", "synthetic", "monitor", "scan", "agent", "preview", "feed", "rss", "web", "site", "audit", "analy", "inspect", "test",
    "resolv", "stat", "seo", ".com", ".net", ".org", ".io", "google",
)  # fmt: skip

# Words that mean a crawler in an agent that does not claim to be a browser; a browser may well carry them in a toolbar's name.
_WEAK: Final = (
    "monitor", "check", "scan", "preview", "rss", "feed", "search", "research", "survey", "ping", "probe", "archiv", "index", "expander",
    "unfurl", "seo", "audit", "analys", "analyz", "inspect", "detect", "discover", "collect", "aggregat", "reader", "watch", "track",
    "status", "alert", "metrics", "verif", "resolver", "hook", "callback", "opengraph", "metadata", "embed", "link", "domain", "dns",
    "whois", "website", "webpage", "wordpress", "blog", "news", "tester", "nagios", "zabbix", "icinga", "sitemap", "snapshot",
    "optimizer", "optimiser", "translat", "summari", "brand", "copyright", "plagiar", "threat", "malware", "screen", "connector", "matcher",
    "onebox", "speedtest", "speed test", "prefetch", "content filter", "capture", "classif", "categori", "enrich", "privacy", "consent",
    "cookie", "compliance", "llm", "gpt", "agentic", "imageproxy", "adstxt", "ads.txt", "advert", "mediapartners", "bookmark", "federat",
)  # fmt: skip
_WEAK_NEAR: Final = re.compile(r"\bbot(?!tle|o)|(?:atom|proxy|stats|camo|ads|\bai)\b")
# Houses whose programs fetch other people's pages under many names.
_HOUSES: Final = (
    "google", "facebook", "yandex", "baidu", "cloudflare", "amazon", "naver", "bing", "yahoo", "mail.ru", "sogou", "tencent", "twitter",
    "linkedin", "apple-",
)  # fmt: skip

_EMAIL: Final = re.compile(r"[\w.+-](?:@|\[at\]| at )[\w-]{1,63}(?:\.|\[dot\]| dot )[a-z]{2}")
_CONTACT: Final = re.compile(
    r"(https?:/?/[^\s;)]*|(?:^|[\s(;+])www\.[\w-]+\.|\(\+?[\w.-]{1,64}\.(?:com|net|org|io|de|ru|co|ai|app|dev|eu|fr|jp)(?:/[^)\s]*)?\))"
)
# Source hosts document a library or a tool as often as a crawler, so that they prove nothing.
_SOURCE: Final = re.compile(
    r"[(+]?(?:https?://)?(?:www\.)?(?:github\.com|gitlab\.com|bitbucket\.org|sourceforge\.net|\w+\.github\.io|bsalsa\.com)"
)

_COMPATIBLE: Final = re.compile(r"compatible ?[;:,] *([^\s;)/,]+)")
# What stood after "compatible;" in real browsers, from Mosaic's time to Trident's; the rest of the world's agents copied the habit.
_GENUINE: Final = frozenset(
    _words(
        """
        msie konqueror icab netfront opera avantgo omniweb windows u x11 linux macintosh winnt win95 win98 android
        netpositive elinks links lynx ibrowse amaya voyager galeon blackberry webtv webpositive dillo ncsa netscape
        firefox chrome safari gecko mac_powerpc mac_68k i nintendo playstation series60 symbianos symbian wap palmos
        webexplorer hotjava aol america en edge trident open netsurf googletoolbar nt iphone ipad ipod mobile tablet arm
        x86_64 win64 wow64 compatible embedded sonyericsson nokia
        """
    )
)

# Names (or pairs of words) that mean a crawler wherever they stand.
_NAMES: Final = frozenset(
    name if name.isalnum() else " ".join(_WORD.findall(name))
    for name in _words(
        # search engines and archives
        """
        a6-indexer aboundex accoona acoon adbeat admantx adscanner adsense alexa-audit apercite apis-google archive-it archive.is
        archive.org arquivo-web autooptimize awario baidu-yunguance becomebot biglotron blekko blexbot brandverity brandwatch
        brightedge bubing builtwith ccbot changedetection citeseerx cliqz coccoc comscore contentking copyscape criteo cxense
        dareboost datanyze dataprovider daumoa debugbear deepcrawl domaintools dubbot duckduckgo-favicons entireweb eright
        europarchive evc-batch exabot ezooms findlink findlinks findthatfile gigablast gigablastopensource gnam googledocs
        googleimageproxy googlemessages googleother googleproducer googleweblight grammarly grapeshot grouphigh grub-client gtmetrix
        gwene heritrix hypestat ia_archiver iccrawler ichiro infegy integralads iparadigms ips-agent jugendschutzprogramm jyxo kagi
        larbin linkdex lipperhey ltx71 lumar majestic12 marginalia mediatoolkit megaindex meltwater meltwaternews mixnode mojeek
        monsido moreover msrbot muckrack neeva netcraft netcraftsurveyagent netresearchserver newsharecounts nitro-optimizer nutch
        nuzzel omgili omgilibot oncrawl openindex outbrain pandalytics panscient paperli peer39 petalsearch plagscan postrank proximic
        ptst quantcast qwantbot qwantify radian6 retrevopageanalyzer rivva ryte safesearch scoutjet screaming searchmetrics seekport
        semanticscholar semasio seobility seokicks serpstat seznam silktide similarweb sistrix sitebulb siteimprove sogou speedcurve
        stract summify sysomos taboola talkwalker teoma thinklab traackr trendiction trendsmap ttd-content turnitin tweetedtimes
        tweetmeme twingly twurly unicheck vagabondo velen versionista visualping voila wachete wappalyzer webarchiv webceo webcitation
        webmon weborama webpagetest whoisxml woorank wotbox yacy yandexaccessibility yandexadditional yandexblogs yandexcalendar
        yandexcatalog yandexcombot yandexdirect yandexfavicons yandexfordomain yandeximages yandexmarket yandexmedia yandexmetrika
        yandexmobile yandexnews yandexontodb yandexpagechecker yandexpartner yandexrca yandexrenderresources yandexscreenshot
        yandexsearchshop yandexsitelinks yandexspravbot yandextracker yandexturbo yandexuserproxy yandexverticals yandexvertis
        yandexvideo yandexwebmaster yeti
        """
        # artificial intelligence
        """
        anthropic anthropic-ai bytespider chatgpt-user claude-searchbot claude-user claude-web cohere-ai cotoyogi crawl4ai diffbot
        duckassistbot facebookcatalog facebookexternalhit facebookplatform facebot firecrawl gemini-deep-research
        google-cloudvertexbot google-extended google-notebooklm imagesift img2dataset jinareader kangaroo meta-externalagent
        meta-externalfetcher meta-webindexer mistralai-user novaact omigili pangu perplexity-user tavily timpibot webzio
        webzio-extended youbot
        """
        # previews
        """
        bingpreview bitlybot clearbit disqus embedly flipboardproxy google-pagerenderer iframely instapaper link-archiver linkarchiver
        linkexpander linkpreview livelap mattermost-preview metainspector metauri opengraphcheck pocketparser quora-bot readability
        redditbot rogerbot skypeuripreview slack-imgproxy slackbot-linkexpanding snapchat-preview tumblr-preview twitterbot vkshare
        whatsapp-preview xing-contenttabreceiver zoominfo
        """
        # feeds
        """
        aggrevator akregator antennapod bazqux bloglovin blogtrottr commafeed fedoraplanet feedbin feedburner feeddemon feeder feedhub
        feedly feedpress feedsearch feedspot feedwrangler freshrss g2reader gpodder inoreader itms itunes-store liferea magpierss
        miniflux netnewswire netvibes newsblur newsboat newsgator nextcloud-news page2rss planetplanet podbean podbot podcastindex
        podcatcher podchaser podnods rawdog rss2email rssing rssowl selfoss simplepie snacktory superfeedr theoldreader tt-rss
        universalfeedparser vienna yarr
        """
        # monitors
        """
        adminlabs alertsite alwayson amazon-route53 amazon-route53-health-check-service apica appinsights better-uptime betterstack
        betteruptime blackbox-exporter browsershots catchpoint check_http checkly cloudflare-alwaysonline cloudflare-autorag
        cloudflare-diagnostics cloudflare-healthchecks cloudflare-traffic-manager cron-job datadogsynthetics deadlinkchecker digicert
        dynatrace easycron elb-healthchecker entrust feedvalidator freshping gatus ghost-inspector globalsign gomezagent
        google-site-verification googlehc googlestackdrivermonitoring healthchecks hetrix hetrixtools honeybadger hydrozen icinga
        jetmon keynote kube-probe letsencrypt monitis monitoring-plugins monitority monspark montastic nagios nagios-plugins netumo
        newrelicpinger newrelicsynthetics nixstats nodeping ohdear pagepeeker panopta pingdom pingdompagespeed pingdomtms prometheus
        pulsetic route53 ruxitrecorder ruxitsynthetic sectigo sentryuptimebot site24x7 stackdriver statping statuscake testomato
        thousandeyes trustwave updown uptime-kuma uptimerobot uptimia uptrends validator.nu w3c-checklink w3c-mobileok
        w3c_css_validator w3c_i18n-checker w3c_unicorn w3c_validator watchmouse webgazer websitepulse webthumb wheresitup wormly xenu
        zabbix zerossl
        """
        # services that call the sites of their customers: shops, payments, consent, mail, content delivery, job and ad markets
        """
        accuranker activecampaign adagio addsearch adform adroll adzuna aftership ahrefs airbyte algolia alltheweb
        alphastrike altavista archive.today archivebox archiveteam ask-jeeves authoritas avalara avast axeptio barracuda baypup
        bazaarvoice bitpay blackwidow blogvault bluecoat bluesky botify brightcloud brightpearl browsertrix bunnycdn cardyb careerjet
        channable channel3 chargify citoid clockss cludo coinbase coingate confiant contentkeeper contentsquare cookiehub
        cookiehubscan cookieyes copernic corporama cortex-xpanse crawlspace crossref cryptosense cyberresilience cybersource cyren
        cyveillance deepsee determ didomi doofinder doubleverify downforeveryoneorjustme driftnet drweb dumbot emailcollector
        emailsiphon emailwolf europeana factset fastmailua feedonomics firecrawlagent fivetran flipboard forcepoint foregenix
        fortiguard fsecure funnelback gaisbot geoedge getpocket gigamega gocardless godatafeed goguardian goodreads googleagent
        grab-site ground.news gumgum hardenize hightouch hostinger hotjar httpobs httpstatus httrack hunter.how imagekit imagify
        immuniweb infinitewp infoseek inktomi integromat internet-census internet.nl internetarchive isitup iss-cyber isup iubenda
        iubenda-radar jobrapido jooble jounce kakaotalk-scrap kaspersky keycdn klaviyo klaviyoaibot legalmonster lengow letsmonitor
        lightspeed line-poker linepreview linerbot linktiger linnworks litespeed lockss looksmart lucidworks lycos magnite mail.ru
        mainwp majestic managewp mangools manus-user mattermost mendeley mimecast misskey mogimogi mollie mozilla-observatory n8n
        netlas netluchs netskope neuvoo newsai newsbreak nextdoor nitropack northernlight nostr nutchcvs odnoklassniki
        offline-explorer omnisend onetrust openaire openalex openfind openx optimole osano pabbly perma.cc phind picsearch pixalate
        pompos printfriendly productsup project-sonar proofpoint pubmatic quic.cloud rapid7 razorpay redirect-checker rocket.chat
        safebrowsing savepagenow searchblox securiti securityheaders securitymetrics securly seedtag semrush sendcloud seranking
        shadowserver shipbob shipstation shortpixel sidetrade sincera sindup singlefile sitecheckerbot sitesearch360 sitesucker smaato
        smartnews smoothwall snipcart sophos sparkpost special_archiver splash spyfu squid-news ssl-labs ssllabs summaly swiftype
        szukacz taxjar teads termly trendmicro trustarc trustpilot ubersuggest unpaywall upday updraftplus uploadcare usercentrics
        vaultpress walhello wayback webbandit webcite webcopier webcrawler webreaper webrecorder websense webstripper websuckr webzip
        wheregoes whiteops wisenut woocommerce workato worldpay wpremote wpull wrs-sitesafety xandr yext yotpo zalo ziprecruiter
        zotero zoterotranslationserver zscaler zulip zyborg
        """
        # scanners
        """
        acunetix appscan arachni binaryedge bitsight burpcollaborator censys censysinspect commix criminalip deepnoc detectify
        dirbuster expanse feroxbuster ffuf fimap fofa gdnplus gobuster hacker0x01 hackerone havij httpx-toolkit internet-measurement
        internetmeasurement intruder ivre-masscan jorgee l9explore l9tcpid leakix lkxscan masscan morfeus nessus netsparker
        netsystemsresearch nikto nimbostratus nmap nuclei onyphe openvas paloaltonetworks probely projectdiscovery qualys quttera
        recordedfuture riskiq sansec securityscorecard shodan sitelock skipfish sqlmap sslscan sslyze stretchoid sucuri testssl
        tlsprober upguard urlscan ut-dorkbot virustotal w3af webinspect webshrinker wfuzz whatweb wordfence wpscan zgrab zmap zmeu
        zoomeye
        """
    )
)

# Names that mean a crawler when the agent begins with them, or writes them after "compatible;"; elsewhere they may be an app or a host.
_LEADING: Final = frozenset(
    _words(
        """
        008 ads.txt adyen akkoma amazon-cloudfront amazon-kendra apple-pubsub asana ask baidu bing bitbucket-webhooks blackboard
        bluehost braintree brevo btwebclient buck bugsnag bushbaby bw caliper chargebee checkmarknetwork clickagy cloudfront
        cloudinary cloudmersive collection conductor cookiehubscan crisp curious customerio datadog datafeedwatch daum deepseek
        diaspora digg digincore discord distill drupact drupal electricmonk exodusmovement ezid fastly feedvalidator fever
        flamingo_searchengine fluffy friendica fullstory g2 genieo github-camo github-hookshot gitlab-webhook go-opengraph godaddy
        gotosocial hatena hotjar http_get hubspot hubzilla hyperdx hyscore iboubot ifttt imessage imgix inetdex intercom iskanie
        jetpack joomla kbin klarna kstand lcc lemmy linkedin luminator-robots magpie mail.ru mailchimp mailgun mastodon matrix mbin
        metorik minicrawler misskey mixpanel moatbot moodle msn naver nextcloud nimbo ning notion outcomes overcast owncloud
        pagething paypal peertube perplexity photon pinterest pixelfed pleroma postmark pulsepoint python-opengraph rambler recurly
        rigor rollbar salesforce segment sempi sendgrid sendinblue sentry seolizer seostar seznam shopify signal skype slack
        snapchat sonic speedy square squarespace steam stripe summaly surdotly svix synapse telegram terracotta thumbor tiny
        tracemyfile trello tumblr twilio um-ln upflow valve venus viber vigil voluumdsp vuhuv webdatastats webflow websniffer weserv
        whatsapp wix wordpress wordupinfosearch wpengine wsrv yahoo yak yandex zapier zendesk
    """
    )
)

# Crawlers that look for weaknesses rather than for content.
_SCANNERS: Final = frozenset(
    _words(
        """zgrab nmap masscan nuclei nikto sqlmap wpscan dirbuster gobuster feroxbuster acunetix netsparker nessus openvas qualys censys
    censysinspect shodan expanse internetmeasurement netsystemsresearch l9explore l9tcpid leakix lkxscan binaryedge stretchoid onyphe
    fofa zmap detectify intruder whatweb arachni w3af skipfish appscan webinspect testssl sslscan sslyze tlsprober jorgee zmeu
    projectdiscovery ffuf wfuzz virustotal urlscan"""
    )
)

# Where a name of several words begins, so that most words are looked up once.
_PAIRED: Final = frozenset(name.split(" ", 1)[0] for name in _NAMES if " " in name)
_URL: Final = re.compile(r"\(?\+?https?:/?/[^\s;)]*")
_TOKEN: Final = re.compile(r"[\w.!&'-]+")
# Words of an agent that dresses as a browser, which are not its name.
_DRESS: Final = _GENUINE | {"mozilla", "applewebkit", "khtml", "like", "version", "presto", "compatible"}


def find_crawler(agent: str, browser: bool) -> str | None:
    """Say which crawler an agent is.

    Args:
        agent: the user agent, lower-case.
        browser: whether it claims to be a browser; then a word that a toolbar or an app could have brought proves nothing.

    Returns:
        the crawler's name, lower-case, or None when nothing says that it is one.
    """
    bare = _URL.sub(" ", agent) if "http" in agent else agent
    if (at := _strong(bare)) >= 0:
        return _token_at(bare, at)
    if name := _named(bare) or _claimed(bare):
        return name
    first = _first(bare)
    if first in _LEADING or first.partition("-")[0] in _LEADING:
        return first
    if _contact(agent, browser) or (bare is not agent and _strong(agent) >= 0) or (not browser and _weak(bare)):
        return first
    return None


def find_named_crawler(agent: str) -> str | None:
    """Say which crawler an HTTP library's user agent names outright, as in "python-requests/2.32 examplebot/1.0".

    Args:
        agent: the user agent, lower-case.

    Returns:
        the crawler's name, lower-case; None for the library alone, with whatever address its own documentation has.
    """
    bare = _URL.sub(" ", agent) if "http" in agent else agent
    at = _strong(bare)
    return _token_at(bare, at) if at >= 0 else None


def is_scanner(crawler: str) -> bool:
    """Say whether a crawler, named as `find_crawler` names it, looks for weaknesses rather than for content."""
    return not _SCANNERS.isdisjoint(_WORD.findall(crawler))


def _strong(text: str) -> int:
    for word in _STRONG:
        if word in text:
            return text.index(word)
    for stem in _STEMS:
        if stem in text:
            found = _STRONG_NEAR.search(text)
            return found.start() if found else -1
    return -1


def _weak(text: str) -> bool:
    return text.startswith(_HOUSES) or any(word in text for word in _WEAK) or _WEAK_NEAR.search(text) is not None


def _token_at(text: str, at: int) -> str:
    # Bounded look-back: a name is short, and an agent without spaces must not cost more for it.
    for token in _TOKEN.finditer(text, max(0, text.rfind(" ", max(0, at - 64), at + 1))):
        if token.end() > at and token[0] not in _DRESS:
            return str(token[0])
    return _first(text)


def _named(text: str) -> str | None:
    words: list[str] = _WORD.findall(text)
    for at, word in enumerate(words):
        if word in _NAMES or (word in _PAIRED and any(" ".join(words[at : at + length]) in _NAMES for length in (2, 3))):
            return _token_at(text, list(_WORD.finditer(text))[at].start())
    return None


def _claimed(text: str) -> str | None:
    for found in _COMPATIBLE.finditer(text):
        name = _TOKEN.match(found[1])
        if name and name[0] not in _GENUINE and not name[0].startswith(("msie", "konqueror", "opera")):
            return str(name[0])
    return None


def _first(text: str) -> str:
    for token in _TOKEN.finditer(text):
        if token[0] not in _DRESS and not token[0][0].isdigit():
            return str(token[0])
    return text.strip() or "unknown"


def _contact(agent: str, browser: bool) -> bool:
    if browser and ("msie" in agent or "+http" in agent):
        # Toolbars of Internet Explorer's age advertised themselves in its user agent, but without the crawlers' plus.
        return "+http" in agent
    if ("@" in agent or "at" in agent) and _EMAIL.search(agent):
        return True
    return any(not _SOURCE.match(found[1].lstrip()) for found in _CONTACT.finditer(agent))
