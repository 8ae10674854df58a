/**
 * Sexual content about minors: an explicit sexual term near a term for a minor. Terms that also stand in news, medicine
 * and law (abuse, rape, nudity) are for a person to judge.
 */
import type { LexiconSource } from './entry.ts'

const age = '{4|5|6|7|8|9|10|11|12|13|14|15|16|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen}'

export const sexualMinors: LexiconSource = {
  entries: [
    { category: 'sexual-minors', rule: 'sexual-minors/explicit', score: 0.95, mitigatedBy: ['report', 'negation'], first: 'explicitAbout', second: 'minor', anyOrder: false, within: 5 },
    { category: 'sexual-minors', rule: 'sexual-minors/explicit', score: 0.95, mitigatedBy: ['report', 'negation'], first: 'explicit', second: 'minor', anyOrder: true, within: 5 },
    { category: 'sexual-minors', rule: 'sexual-minors/suggestive', score: 0.6, mitigatedBy: [], first: 'suggestive', second: 'minor', anyOrder: true, within: 4 },
    { category: 'sexual-minors', rule: 'sexual-minors/material', score: 0.95, mitigatedBy: ['report', 'negation'], first: 'obtain', second: 'material', anyOrder: false, within: 5 },
    { category: 'sexual-minors', rule: 'sexual-minors/grooming', score: 0.95, mitigatedBy: ['report', 'negation'], first: 'groomRequest', second: 'minor', anyOrder: false, within: 5 },
  ],
  parts: {
    minor: `
      {child|children|minor|minors|underage|under-age|preteen|pre-teen|preteens|toddler|toddlers|infant|infants|schoolgirl|schoolgirls|schoolboy|schoolboys|little {girl|boy}{s|}|young {girl|boy}{s|}|kid|kids|loli|prepubescent}
      ${age}{ |-}{year|yr}{s|}{ |-}old{s|}
      ${age} yo
      {middle|elementary|primary} {school|schooler|schoolers}
    `,
    /** Followed by whom it is about. */
    explicitAbout: `
      {have|having|had|has|has had|want} {oral |anal |hot |rough |}sex with
      {sex scene|sex story|erotic story|erotic stories|erotica|porn story|smut|hentai|sexual fantasy|sexual fantasies|sexual roleplay|sex roleplay} {about|with|of|between|involving|featuring|where}
      {fuck|fucks|fucked|fucking} {a|an|the|him|her|my|his} {little|young|underage}
      {masturbate|masturbates|masturbated|masturbating} {to|with|in front of}
      {sexually aroused|sexually attracted|turned on|horny} {by|for|to}
      {nudes|nude photos|nude pictures|nude pics|nude videos|naked photos|naked pictures|naked pics|naked videos|porn|pornography} {of|with|involving}
      {cum|cums|cumming} {in|inside|on}
    `,
    explicit: `
      {blowjob|blow job|handjob|hand job|cumshot|creampie|gangbang|deepthroat|cunnilingus|fellatio}{s|}
      {suck|sucks|sucked|sucking|stroke|stroked|stroking} {my|his} {cock|dick|penis}
      {orgasm|orgasms|moaned in pleasure|moans in pleasure}
    `,
    obtain: `
      {watch|download|find|buy|sell|trade|share|send me|get|access|distribute|make|produce|create|see|watching|downloading|buying|selling|trading|sharing|distributing|making|producing}
    `,
    material: `
      {child|kiddie|kiddy|kid|preteen|underage|toddler|lolicon|shotacon|jailbait} {porn|pornography|nudes|sex videos|erotica}
      {cp|csam} {videos|links|images|pics}
      csam
    `,
    groom: '{groom|seduce|molest|lure|sexually touch}',
    suggestive: `
      {porn|pornography|pornographic|naked|nude|topless|erotic|sexy|sexualized|sexualised|molest|molested|molesting|rape|raped|raping|incest|sexual intercourse|sexual activity|sexual acts}
    `,
  },
  joins: [{ part: 'groomRequest', first: 'ask', second: 'groom', anyOrder: false, within: 3 }],
  exceptions: '',
}
