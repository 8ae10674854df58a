/** Strong language. It is noted and never stops a text: research on language needs it. */
import type { LexiconSource } from './entry.ts'

export const profanity: LexiconSource = {
  entries: [
    {
      category: 'profanity', rule: 'profanity/strong', score: 0.7, mitigatedBy: [],
      phrases: `
        {mother|}f{u|*}ck{|s|ed|er|ers|in|ing}
        {clusterfuck|fuckwit|fuckhead|fuckface|fucktard|unfuckingbelievable|motherfucking|mother fucker|mother fucking}
        {bull|horse|bat|ape|dip|}sh{i|*}t{|s|ty|ter|head|face|hole|show|ting}
        c{u|*}nt{|s|y}
        {cocksucker|dickhead|dickface|asshole|arsehole|assholes|arseholes|jackass|dumbass|asshat|bastard|bastards|wanker|wankers|tosser|twat|twats|prick|pricks|bellend|douchebag|douchebags|knobhead}
        b{i|*}tch{|es|y|ing|ed}
        {slut|sluts|slutty|whore|whores|skank|skanks}
        {pussy|pussies|tits|titties|boobies|cum|cumming|jizz|dildo|dildos}
        {suck|sucking|sucks} my {dick|cock|balls}
        {go to hell|piss off|pissed off|goddamn|god damn|goddamned}
        {a|*}ss
      `,
    },
  ],
  parts: {},
  joins: [],
  exceptions: `
    {magna|summa|cum} {cum|laude} {laude|}
    magna cum laude
    summa cum laude
    cum laude
    cum on feel the noize
    {jack|wild|pack} ass
    {pussy|pussies} {willow|willows|cat|cats|riot}
    {great|blue|coal|marsh} tits
    prick {test|tests|of|your finger}
    {finger|skin} prick{s|}
    scunthorpe
  `,
}
