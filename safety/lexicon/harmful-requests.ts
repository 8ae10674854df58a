/**
 * Requests for instructions to do harm: a way of asking, a verb and a thing, close together. The thing alone, and
 * questions about its law, history, detection or prevention, are nobody's business.
 */
import type { LexiconSource } from './entry.ts'

export const harmfulRequests: LexiconSource = {
  entries: [
    { category: 'harmful-request', rule: 'harmful-request/weapon', score: 0.9, mitigatedBy: [], first: 'makeRequest', second: 'weapon', anyOrder: false, within: 6 },
    { category: 'harmful-request', rule: 'harmful-request/drugs', score: 0.9, mitigatedBy: [], first: 'makeRequest', second: 'hardDrug', anyOrder: false, within: 5 },
    { category: 'harmful-request', rule: 'harmful-request/malware', score: 0.9, mitigatedBy: [], first: 'codeOrder', second: 'malware', anyOrder: false, within: 3 },
    { category: 'harmful-request', rule: 'harmful-request/malware', score: 0.9, mitigatedBy: [], first: 'codeRequest', second: 'malware', anyOrder: false, within: 4 },
    { category: 'harmful-request', rule: 'harmful-request/theft', score: 0.9, mitigatedBy: [], first: 'stealRequest', second: 'loot', anyOrder: false, within: 6 },
    { category: 'harmful-request', rule: 'harmful-request/intrusion', score: 0.85, mitigatedBy: [], first: 'hackRequest', second: 'othersProperty', anyOrder: false, within: 5 },
    { category: 'harmful-request', rule: 'harmful-request/crime', score: 0.85, mitigatedBy: [], first: 'ask', second: 'crime', anyOrder: false, within: 8 },
    { category: 'harmful-request', rule: 'harmful-request/crime', score: 0.85, mitigatedBy: [], first: 'askFor', second: 'committing', anyOrder: false, within: 8 },
    { category: 'harmful-request', rule: 'harmful-request/drug-trade', score: 0.9, mitigatedBy: [], first: 'tradeRequest', second: 'hardDrug', anyOrder: false, within: 8 },
    { category: 'harmful-request', rule: 'harmful-request/without-getting-caught', score: 0.6, mitigatedBy: [], first: 'ask', second: 'uncaught', anyOrder: false, within: 14 },
  ],
  joins: [
    { part: 'makeRequest', first: 'ask', second: 'makeVerb', anyOrder: false, within: 3 },
    { part: 'makeRequest', first: 'askFor', second: 'makingVerb', anyOrder: false, within: 3 },
    { part: 'makeRequest', first: 'want', second: 'makeVerb', anyOrder: false, within: 2 },
    { part: 'codeRequest', first: 'ask', second: 'codeVerb', anyOrder: false, within: 3 },
    { part: 'stealRequest', first: 'want', second: 'stealVerb', anyOrder: false, within: 2 },
    { part: 'hackRequest', first: 'want', second: 'hackVerb', anyOrder: false, within: 2 },
    { part: 'tradeRequest', first: 'ask', second: 'tradeVerb', anyOrder: false, within: 4 },
    { part: 'tradeRequest', first: 'askFor', second: 'tradingVerb', anyOrder: false, within: 4 },
    { part: 'stealRequest', first: 'ask', second: 'stealVerb', anyOrder: false, within: 3 },
    { part: 'stealRequest', first: 'askFor', second: 'stealingVerb', anyOrder: false, within: 3 },
    { part: 'hackRequest', first: 'ask', second: 'hackVerb', anyOrder: false, within: 3 },
    { part: 'hackRequest', first: 'askFor', second: 'hackingVerb', anyOrder: false, within: 3 },
  ],
  parts: {
    makeVerb: `
      {make|build|construct|assemble|create|synthesize|synthesise|manufacture|produce|cook|brew|prepare|weaponize|weaponise|culture|cultivate|enrich|print|mix|detonate}
    `,
    makingVerb: `
      {making|building|constructing|assembling|creating|synthesizing|synthesising|manufacturing|producing|cooking|brewing|preparing|weaponizing|weaponising|enriching|detonating|synthesis of|production of|manufacture of|construction of}
    `,
    makeRequest: `
      {recipe|instructions|blueprint|blueprints|directions} for
    `,
    weapon: `
      {pipe|nail|fertilizer|fertiliser|car|dirty|pressure cooker|petrol|suitcase|letter|mail|homemade|atomic|nuclear|hydrogen|suicide|explosive|chemical|hidden|diy} bomb{s|}
      {a|an} bomb
      bombs
      {improvised explosive|explosive} device{s|}
      {explosive vest|suicide vest|molotov cocktail|molotov}{s|}
      {plastic|homemade|liquid} explosive{s|}
      explosives
      {an ied|ieds|c4 explosive|c-4 explosive|tatp|rdx|nitroglycerin|nitroglycerine|napalm|semtex}
      {nerve|chemical warfare|biological warfare} {agent|agents|gas}
      {sarin|tabun|soman|novichok|vx gas|ricin|mustard gas|phosgene|chlorine gas|botulinum toxin|dimethylmercury|hydrogen cyanide|cyanide gas|lewisite}
      {chemical|biological|nuclear|radiological|bio} weapon{s|}
      bioweapon{s|}
      {weaponized|weaponised|weapons-grade} {anthrax|smallpox|ebola|plutonium|uranium|virus|pathogen}
      anthrax
      {ghost gun|untraceable gun|untraceable firearm|printed gun|undetectable gun|gun silencer|zip gun}{s|}
    `,
    hardDrug: `
      {meth|methamphetamine|methamphetamines|crack cocaine|cocaine|heroin|fentanyl|carfentanil|lsd|mdma|ghb|pcp|krokodil|desomorphine|date rape drug|date rape drugs|amphetamine|amphetamines}
    `,
    codeOrder: '{write|create|make|build|code|develop|program|design} {me |us |}{a|an|some}',
    codeVerb: '{write|create|make|build|code|develop|program|design|spread|distribute|deploy}',
    tradeVerb: '{smuggle|traffic|sell|distribute|deal|advertise|purchase}',
    tradingVerb: '{smuggling|trafficking|selling|distributing|dealing|advertising}',
    malware: `
      {ransomware|keylogger|keyloggers|spyware|rootkit|botnet|computer virus|computer viruses|computer worm|remote access trojan|trojan virus|malware|credential stealer|password stealer|phishing {page|site|website|email|emails|kit|campaign}|cryptolocker}
    `,
    stealVerb: '{steal|steals|skim|clone|phish|harvest}',
    stealingVerb: '{stealing|skimming|cloning|phishing|harvesting}',
    loot: `
      {password|passwords|credentials|login details|login information|credit card|credit cards|debit card details|bank {details|account|accounts|information}|identity|identities|social security number{s|}|personal information|personal data|session cookies|a car|cars|firearms|guns|catalytic converters|trade secrets|valuables}
    `,
    hackVerb: '{hack|hack into|break into|gain access to|gain unauthorized access to|spy on}',
    hackingVerb: '{hacking|hacking into|breaking into|gaining access to|spying on}',
    othersProperty: `
      {someone's|someone else's|somebody's|somebody else's|another person's|other people's|ex's|girlfriend's|boyfriend's|wife's|husband's|neighbor's|neighbour's|boss's|friend's|teacher's|coworker's|roommate's|stranger's|people's}
      {bank|government|hospital|company|school|power grid|voting|corporate|traffic control} {database|databases|network|networks|server|servers|system|systems|website|machine|machines}
      {a bank|power grids|the power grid|an atm|atms|a house|houses|a car|cars}
    `,
    uncaught: `
      without {getting |being |}{caught|detected|discovered}
      without {detection|raising suspicion|leaving a trace|leaving evidence}
      {avoid|evade|evading|avoiding} {detection|law enforcement|the police|getting caught|being caught}
    `,
    crime: `
      {kidnap|abduct|enslave|blackmail|extort} {a|someone|somebody|people|women|children|girls|my|money}
      launder {dirty |drug |illegal |}money
      {counterfeit|forge} {money|currency|bills|banknotes|passports|a passport|a check|checks|documents|prescriptions}
      {smuggle|traffic} {drugs|weapons|guns|people|humans|cocaine|heroin|firearms}
      {rob|burn down} a {bank|store|house|building|school}
      evade taxes
      commit {arson|tax fraud|insurance fraud|credit card fraud|identity fraud|identity theft|wire fraud}
      {dispose of|hide|get rid of} a {dead |}body
      {hire a hitman|drug someone|drug a girl|roofie someone}
      {stalk|poison|drug} {someone|my|people}
      {rig|manipulate} an election
      incite {a riot|violence|hatred}
      {run|start} a {ponzi|pyramid} scheme
      {buy|sell} {illegal drugs|drugs online|heroin|cocaine|stolen}
      {create|make} {a fake id|fake ids|counterfeit money}
      {poison|contaminate} {the|a|a city's} water supply
      sabotage {a|the} {train|plane|power grid|dam}
      {derail a train|hijack a plane|hijack a train|hijack a bus}
    `,
    committing: `
      {kidnapping|blackmailing|extorting} {a|someone|people|women|children}
      {laundering money|money laundering without|counterfeiting money|forging documents}
      {smuggling|trafficking} {drugs|weapons|guns|people|humans|cocaine|heroin|firearms}
      {committing|getting away with} {arson|murder|tax fraud|insurance fraud|credit card fraud|identity theft}
      {disposing of|hiding} a {dead |}body
      {rigging|manipulating} an election
    `,
  },
  exceptions: `
    {a |}{bath|seed|glitter|smoke|stink|cherry|photo|photon|cocoa|hot chocolate|flower|water|paint|jager|irish car|love|fat|tea|zip|logic|fork} bomb{s|}
    {a |}bomb {calorimeter|calorimeters|shelter|shelters|squad|disposal|detector|detectors|threat|threats|cyclone|detection|drill|jacket}
    {meth|heroin|cocaine|fentanyl} {addict|addiction|rehab|test|tests|awareness|detection|withdrawal|treatment}
    {nerve agent|chemical weapon|chemical weapons|biological weapon|biological weapons|nuclear weapon|nuclear weapons} {antidote|antidotes|detector|convention|treaty|ban|policy|free|detection|disarmament|inspection|inspections|inspectors}
    {ransomware|keylogger|spyware|rootkit|botnet|malware|phishing email|phishing website} {detector|detection|scanner|report|policy|article|essay|awareness|attacks|protection|defense|defence|prevention|removal|analysis|classifier|filter}
  `,
}
