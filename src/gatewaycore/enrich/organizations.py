"""Which organisations are companies, as far as a name or a domain tells: who sells access, room or machines is not the one who uses them.

Tables of well-known ones, and words that others of their kind have in their names. What is in neither may be anything: see `company` for
what is made of that.
"""

from __future__ import annotations

import re
from typing import Final, Literal, TypeAlias

__all__ = ["Trade", "agrees", "clean_domain", "clean_name", "trade_of_domain", "trade_of_name"]

Trade: TypeAlias = Literal["isp", "hosting", "education"]
"""What an organisation is that is no business to be counted, or is a school."""

NAME_CHARS: Final = 128
_DOMAIN_CHARS: Final = 253
# What is looked at of a name: no organisation has a longer one, and a database may hold anything.
_LOOKED_AT: Final = 512

_NUMBER: Final = re.compile(r"AS[0-9]{1,10}\s+", re.IGNORECASE)
_BLANK: Final = re.compile(r"[\s\x00-\x1f\x7f-\x9f]+")
_WORD: Final = re.compile(r"[^\W_]+")
_DOMAIN: Final = re.compile(r"(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)+(?:[a-z]{2,63}|xn--[a-z0-9-]{1,59})")
_SCHOOLS: Final = re.compile(r"\.(?:edu|(?:edu|ac|k12\.[a-z]{2})\.[a-z]{2})\Z|(?:^|\.)(?:uni|fh|tu|hs|univ)-[a-z0-9-]+\.[a-z]{2,4}\Z")


def _words_of(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _names(text: str) -> frozenset[str]:
    return frozenset(name.strip() for name in text.split(","))


# What says how an organisation is set up, and not what it is called.
_FORMS: Final = _words_of(
    """
    inc incorporated llc ltd limited gmbh ag se kg ug co company corp corporation plc bv nv pty pte ab as asa oy oyj aps sa sas
    sarl srl spa sl sro zrt kft doo ooo jsc pjsc ojsc cjsc kk the group holding holdings pvt private pt tbk bhd sdn eirl ltda
    eood ead sp z o
    """
)

# Words, and how longer ones begin, that only those have in their name who do this.
_WORDS: Final[tuple[tuple[Trade, re.Pattern[str]], ...]] = (
    (
        "education",
        re.compile(
            r"\b(?:universi\w*|univerzit\w*|uniwersytet\w*|yliopisto|universitat|college\w*|school|schools|hochschule\w*|fachhochschule\w*"
            r"|politecnico|polytechni\w*|politechnika|gymnasium|lyceum|nren|academic|institute of technology|ecole|escola|escuela"
            r")\b"
        ),
    ),
    (
        "hosting",
        re.compile(
            r"\b(?:\w*hosting\w*|webhost\w*|hoster\w*|datacent(?:er|re)s?|data cent(?:er|re)s?|dedicated servers?|servers?"
            r"|vps|colo|colocation|coloc\w*|cdn|content delivery|cloud|clouds|vpn|proxy|proxies|rechenzentrum"
            r")\b"
        ),
    ),
    (
        "isp",
        re.compile(
            r"\b(?:\w*telecom\w*|\w*telekom\w*|telefon\w*|telefónica|telco|telcos|tel[eé]communica\w*|telephone|telephony|broadband|isp|wisp"
            r"|internet (?:service|services|provider|providers|access|exchange)|\w*cable|cablevision|kabel\w*|fib(?:er|re)\w*|fibra|ftth"
            r"|dsl|adsl|vdsl|wimax|\w*wireless|wifi\w*|cellular|mobile|gsm|lte|communications?|catv|comunica\w*|netcom\w*|satellite|telenet|breitband"
            r"|internet|bredband\w*|dial ?up|carrier|backbone|ixp"
            r")\b"
        ),
    ),
)

# Companies whose names hold such a word all the same.
_COMPANIES: Final = _names(
    """
    zoom video communications, motorola mobility, internet archive, internet systems consortium, internet security research,
    cable news network, ringcentral, school of rock, cloud software, cloudera, mobile mini, hewlett packard
    """
)

# Known by the whole name, or by what it begins with: "telstra" is "Telstra Internet" too.
_ISPS: Final = _names(
    """
    a1 telekom, aapt, airtel, altice, altibox, amazon kuiper, arcor, astound, at t, axtel, bell canada, bell mts, belgacom,
    bezeq, bharti airtel, bouygues, bsnl, british telecommunications, bt public internet, cablevision, centurylink,
    century link, charter communications, china mobile, china telecom, china unicom, china networks, chinanet, chunghwa, claro,
    cogent, cogeco, comcast, comhem, com hem, consolidated communications, cox communications, cyta, deutsche glasfaser,
    deutsche telekom, digicel, digi romania, rcs rds, dish network, dodo, du telecom, eir broadband, elisa, embratel,
    etisalat, eunetworks, fastweb, free mobile, proxad, frontier communications, gtt, gci, globe telecom,
    gtd internet, hathway, hinet, hurricane electric, iinet, iliad, ip transit, jio, reliance jio, kabel deutschland, kddi,
    korea telecom, kpn, kyivstar, level 3, lg uplus, liberty global, lumen, magyar telekom, maroc telecom, maxis, mediacom,
    megafon, megapath, meo, midco, mobily, mtn, netcologne, nos comunicacoes, ntt communications, ntt docomo,
    ntt america, ocn, odido, one nz, optus, oi velox, optimum online, orange polska, orange espana, orange romania,
    orange belgium, pccw, play p4, plusnet, pldt, post luxembourg, proximus, qwest, rcn, rogers communications,
    rostelecom, safaricom, sasktel, saudi telecom, sfr, shaw communications, singtel, singnet, sk broadband, sky broadband,
    sky uk, skylink, softbank, sonic net, sonera, spectrum, starhub, spacex starlink, starlink, space exploration technologies,
    spark new zealand, sunrise, suddenlink, swisscom, t mobile, talktalk, tata teleservices, tata communications, tds telecom,
    tele2, telenor, telia, arelion, telefonica, telecom italia, telstra, telus, telmex, telkom, time warner cable, tiscali,
    tot public, tpg, true internet, tdc, turk telekom, turkcell, twc, unitymedia, u s cellular, us cellular, uninet, uunet, upc,
    vectra, verizon, versatel, viasat, videotron, viettel, virgin media, virgin mobile, virginmedia, vimpelcom, vnpt,
    vocus, vodafone, volia, wanadoo, wide open west, wind tre, windstream, wow internet, xfinity, xs4all, yota, zain, zayo,
    ziggo, zen internet, zscaler transit, hughesnet, hughes network, google fiber, sonic telecom, metronet, ting fiber,
    cincinnati bell, hawaiian telcom, nuvox, speakeasy, earthlink, road runner, rr com, telefonos, cantv, entel, antel,
    ice costa rica, cablemas, megacable, izzi, totalplay, movistar, une epm, etb colombia, iusacell, beeline, er telecom, ttk,
    transtelecom, kcell, kazakhtelecom, mobinil, te data, link dot net, menara, mweb, afrihost, cell c, vodacom, mtnl,
    you broadband, act fibernet, beam telecom, tikona, excitel, pakistan telecommunication, ptcl, dialog axiata, slt,
    grameenphone, robi axiata, banglalink, unifi, celcom, digi malaysia, indosat, telkomsel, xl axiata, biznet, first media,
    smart communications, converge ict, fpt telecom, mobifone, ais fibre, 3bb, dtac, truemove, hkbn, hgc global, smartone,
    netvigator, taiwan mobile, far eastone, so net, biglobe, nifty, iij, sk telecom
    """
)
_HOSTS: Final = _names(
    """
    a2 hosting, akamai, alibaba, aliyun, amazon, amazon aws, amazon web services, aws, azure, bluehost, bunny,
    bunnycdn, bunnyway, buyvm, frantech, centrilogic, choopa, civo, clouvider, cloudflare, cloudsigma, colocrossing,
    contabo, coreweave, cdn77, datacamp, dedipath, digitalocean, digital ocean, dreamhost, edgecast, edgio,
    limelight, equinix, exoscale, fastly, flexential, fly io, g core, gcore, gandi, github actions, godaddy, go daddy, google,
    google cloud, green house data, hetzner, hivelocity, hostdime, hostgator, hosteurope, host europe, hostinger, hostwinds,
    hover, huawei cloud, ibm cloud, softlayer, infomaniak, ingenuity cloud, internap, interserver, ionos, 1 1 internet,
    1 1 ionos, joyent, kamatera, keyweb, latitude sh, leaseweb, linode, liquid web, m247, media temple, microsoft,
    microsoft azure, mythic beasts, namecheap, netcup, netlify, nforce, nocix, northflank, online net, oracle,
    oracle cloud, oneprovider, ovh, packet host, packethub, phoenixnap, psychz, qovery, quadranet, rackspace,     render com,
    sakura internet, scaleway, selectel, serverius, serverion, servermania, singlehop, soyoustart, stackpath,
    strato, stark industries, tencent, terremark, timeweb, tier net, tzulo, ucloud, unified layer, upcloud,
    vercel, vultr, virtuozzo, worldstream, wholesale internet, yandex cloud, zenlayer, zscaler, netskope,
    palo alto networks prisma, cisco umbrella, nordvpn, mullvad, expressvpn, protonvpn,     surfshark,
    digital realty, cyrusone, performive, 24shells, sharktech, reliablesite, nexeon, eonix, b2 net,
    cogent hosting, global layer, nextgenwebs, privatelayer, webnx, inap, peak 10, steadfast, turnkey internet
    """
)
_NETS: Final = _names(
    """
    aarnet, belnet, canarie, cernet, china education, cesnet, deutsches forschungsnetz, dfn verein, verein zur foerderung eines deutschen,
    garr, geant, consortium garr, grnet, heanet, hungarnet, internet2, janet, jisc, kreonet, massachusetts institute of technology, mit,
    nordunet, nysernet, merit network, cenic, pionier, rediris, renater, reannz, rnp rede, ernet, sunet, surfnet,
    switch academic, uninett, ucla, caltech, eth zurich, eth zuerich, epfl, ecole polytechnique, kaist, stanford, harvard, mcgill,
    eidgenoessische technische hochschule
    """
)
# Too short, or too common a word, to be what a longer name begins with.
_ISPS_WHOLE: Final = _words_of(
    """
    o2 three ee bt sky orange free sonic cox spark tim wind rogers charter frontier bell shaw nos play oi wow smart globe
    gtt vivo mts dna
    """
)
_HOSTS_WHOLE: Final = _words_of("hover switch render railway packet online strato")

_WHOLE: Final[dict[str, Trade]] = {**dict.fromkeys(_ISPS_WHOLE, "isp"), **dict.fromkeys(_HOSTS_WHOLE, "hosting")}
_NAMED: Final[dict[str, Trade]] = {
    **dict.fromkeys(_NETS, "education"),
    **dict.fromkeys(_ISPS, "isp"),
    **dict.fromkeys(_HOSTS, "hosting"),
}
_LONGEST: Final = max(name.count(" ") for name in _NAMED) + 1

_ISP_DOMAINS: Final = _words_of(
    """
    comcast.net comcastbusiness.net verizon.net fios.verizon.net myvzw.com att.net sbcglobal.net bellsouth.net charter.com
    rr.com spectrum.com twc.com twcbiz.com cox.net coxbusiness.com centurylink.net qwest.net embarqhsd.net frontiernet.net
    windstream.net tds.net suddenlink.net optonline.net rcn.com rcn.net earthlink.net speakeasy.net nuvox.net level3.net
    lumen.com cogentco.com zayo.com gtt.net he.net ntt.net tata.net telia.net telia.com arelion.net t-mobile.com tmodns.net
    sprint.net sprintlink.net hughes.net viasat.com starlink.com starlinkisp.net googlefiber.net sonic.net mediacombb.net
    midco.net cableone.net wideopenwest.com rogers.com bell.ca bellnexxia.net sympatico.ca shawcable.net shaw.ca telus.net
    telus.com videotron.ca cogeco.ca sasktel.com bt.com btopenworld.com btcentralplus.com sky.com skybroadband.com virginm.net
    virginmedia.com talktalk.net plus.net plusnet.com zen.co.uk vodafone.com vodafone.de vodafone-ip.de vodafone.it vodafone.es
    o2.co.uk three.co.uk ee.co.uk eircom.net eir.ie t-ipconnect.de t-dialin.net t-online.de telekom.de kabel-deutschland.de
    unitymedia.de unity-media.net 1und1.net netcologne.de m-net.de m-online.net o2online.de telefonica.de arcor-ip.net
    versatel.de orange.fr wanadoo.fr sfr.net sfr.fr free.fr proxad.net bouygues.com bbox.fr numericable.fr telefonica.net
    telefonica.es rima-tde.net movistar.es ono.com jazztel.es orange.es telecomitalia.it tim.it fastwebnet.it wind.it windtre.it
    tiscali.it swisscom.ch bluewin.ch sunrise.ch upc.ch a1.net upc.at chello.at kpn.net kpn.com xs4all.nl ziggo.nl telenet.be
    proximus.be belgacom.be skynet.be telenor.no telenor.se altibox.net tele2.com tele2.se bredband.net comhem.se tdc.net
    yousee.dk elisa.fi elisa-laajakaista.fi dna.fi dnainternet.fi sonera.com orange.pl tpnet.pl neostrada.pl upc.pl vectra.pl
    netia.pl rcs-rds.ro rdsnet.ro telekom.hu t-online.hu o2.cz upc.cz rt.ru rostelecom.ru mts.ru beeline.ru megafon.ru
    corbina.ru kyivstar.ua ukrtel.net ukrtelecom.ua ttnet.com.tr turktelekom.com.tr superonline.net bezeqint.net
    netvision.net.il airtel.in airtelbroadband.in bsnl.in jio.com actcorp.in singnet.com.sg starhub.net.sg pldt.net globe.com.ph
    telkom.net.id tm.net.my maxis.com.my hinet.net seed.net.tw netvigator.com hkbn.net ocn.ne.jp so-net.ne.jp plala.or.jp
    dion.ne.jp bbtec.net eonet.ne.jp ucom.ne.jp kornet.net chinanet.cn.net 163data.com.cn chinatelecom.cn chinamobile.com
    chinaunicom.cn telstra.net telstra.com bigpond.net.au bigpond.com optusnet.com.au iinet.net.au tpgi.com.au tpg.com.au
    internode.on.net spark.co.nz xtra.co.nz telkom.co.za telkomsa.net mtn.co.za vodacom.co.za vivo.com.br vivozap.com.br
    virtua.com.br claro.com.br telesp.net.br oi.com.br veloxzone.com.br prod-infinitum.com.mx telmex.com megacable.com.mx
    izzi.mx etb.net.co une.net.co cantv.net
    """
)
_HOST_DOMAINS: Final = _words_of(
    """
    amazonaws.com amazon.com aws.com aws.amazon.com googleusercontent.com google.com 1e100.net microsoft.com azure.com
    cloudapp.net cloudapp.azure.com oraclecloud.com oraclevcn.com oracle.com digitalocean.com cloudflare.com hetzner.com
    hetzner.de your-server.de your-server.com clients.your-server.de ovh.com ovh.net ovh.ca kimsufi.com linode.com
    members.linode.com akamai.com akamaitechnologies.com vultr.com vultrusercontent.com choopa.com choopa.net scaleway.com
    scw.cloud online.net poneytelecom.eu alibaba.com alibabacloud.com aliyun.com tencent.com tencentcloud.com ibm.com
    softlayer.com fastly.com fastly.net leaseweb.com leaseweb.net contabo.com contabo.net contaboserver.net rackspace.com
    godaddy.com secureserver.net hostgator.com bluehost.com unifiedlayer.com dreamhost.com namecheap.com web-hosting.com
    hostinger.com netcup.de netcup.net strato.de ionos.com kundenserver.de 1and1.com m247.com m247.ro datacamp.co.uk cdn77.com
    upcloud.com upcloud.host exoscale.com equinix.com packethub.net fly.io vercel.com netlify.com render.com github.io
    nforce.com worldstream.nl quadranet.com psychz.net colocrossing.com hivelocity.com liquidweb.com sakura.ad.jp selectel.ru
    timeweb.ru yandex.cloud zenlayer.com zscaler.com
    """
)
_DOMAINS: Final[dict[str, Trade]] = {**dict.fromkeys(_ISP_DOMAINS, "isp"), **dict.fromkeys(_HOST_DOMAINS, "hosting")}
_TELLING: Final = re.compile(
    r"(telecom|telekom|broadband|wireless|fib(?:er|re)net|cablenet|[av]?dsl\b)|(hosting|webhost|\bvps|datacent(?:er|re))"
)


def clean_name(text: str | None) -> str | None:
    """Return the name of an organisation without an AS number in front and without line breaks, cut; None when nothing is left."""
    if text is None:
        return None
    name = _BLANK.sub(" ", _NUMBER.sub("", text[:_LOOKED_AT].strip(), count=1)).strip()[:NAME_CHARS].strip()
    return name if any(map(str.isalpha, name)) else None


def clean_domain(text: str | None) -> str | None:
    """Return a domain, lower-case; None when it is none, which addresses never are."""
    if text is None or len(text) > _DOMAIN_CHARS:
        return None
    domain = text.strip().rstrip(".").lower()
    return domain if _DOMAIN.fullmatch(domain) else None


def trade_of_name(name: str) -> Trade | None:
    """Return what an organisation of this name is, if it is no company that uses the network; None when nothing tells."""
    words = _words(name)
    text = " ".join(words)
    whole = _WHOLE.get(text)
    if whole is not None:
        return whole
    named = _named(words)
    if named is not None:
        return named
    if any(text == one or text.startswith(f"{one} ") for one in _COMPANIES):
        return None
    for trade, pattern in _WORDS:
        if pattern.search(text):
            return trade
    return None


def trade_of_domain(domain: str) -> Trade | None:
    """Return what the holder of a domain is, if it is no company that uses the network; None when nothing tells."""
    if _SCHOOLS.search(domain):
        return "education"
    labels = domain.split(".")
    for start in range(len(labels) - 1):
        found = _DOMAINS.get(".".join(labels[start:]))
        if found is not None:
            return found
    told = _TELLING.search(domain)
    return None if told is None else "isp" if told[1] else "hosting"


def agrees(name: str, domain: str) -> bool:
    """Tell whether a domain is called as an organisation is: "Acme Rockets Inc." and acme-rockets.co.uk."""
    # The longest label but the last is the name; the others are registries and hosts.
    label = "".join(_WORD.findall(max(domain.split(".")[:-1], key=len)))
    words = _words(name)
    return len(label) > 2 and ("".join(words).startswith(label) or label in words)


def _words(name: str) -> list[str]:
    words = _WORD.findall(name.lower())
    kept = [word for word in words if word not in _FORMS]
    return kept or words


def _named(words: list[str]) -> Trade | None:
    for count in range(min(_LONGEST, len(words)), 0, -1):
        found = _NAMED.get(" ".join(words[:count]))
        if found is not None:
            return found
    return None
