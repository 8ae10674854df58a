/**
 * What several categories share: ways to ask for instructions and to announce a deed, and the words that show that what
 * follows is reported, discussed or negated rather than said.
 */
import type { LexiconSource } from './entry.ts'

export const context: LexiconSource = {
  entries: [],
  parts: {
    /** Followed by a verb in its plain form. */
    ask: `
      how {to|do i|do you|do we|do people|do terrorists|can i|can we|can you|can one|can someone|could i|could someone|would i|would you|would one|would someone|should i|might i|might someone|might one|does one|does someone}
      {way|ways|method|methods|technique|techniques|steps|instructions|guide|tutorial|recipe|directions|blueprint|procedure|tips|script|program|code|website|tool} {to|that}
    `,
    /** Likewise, but less clearly a request for instructions. */
    want: '{help me|i want to|i need to|teach me to|teach others to}',
    /** Followed by a verb in -ing or by a thing. */
    askFor: `
      {way|ways|method|methods|technique|techniques|steps|instructions|guide|tutorial|recipe|recipes|directions|plan|plans|blueprint|blueprints|procedure|strategy|strategies|practices|tips|advice|ideas|formula|manual|walkthrough|ingredients|materials|chemicals|precursors|script|program|code} {for|of|on|to}
      {go about|start|help with|help me with|assist me in|assistance in}
    `,
    intent: `
      {i|we} {will|shall|am|are} {gonna|going to|about to|}
      {i'm|im} {gonna|going to|about to|coming to}
      {i'll|ill|imma|ima|i gotta|i'm a|lemme}
    `,
    report: `
      {he|she|they|who|someone|somebody|people|man|woman|boy|girl|suspect|attacker|users|user} {says|say|writes|write|shouts|yells|screams|warned|texts}
      {said|wrote|shouted|yelled|yelling|shouting|screaming|screamed|tweeted|posted|threatened|threatening|texted|told|replied|called|calling|calls|call|saying|chanted|chanting}
      {the|this|that} {term|slur|phrase|expression|quote|lyric|lyrics}
      {slur|slurs}
      {the|a|this|that|his|her|their|your} {comment|post|tweet|message|letter|note|song|line|character|villain|movie|film|book|novel|poem|scene}
      {the|a|this|that} word{s|}
      {what does|meaning of|origin of|history of|definition of|etymology of|define|means|mean when}
      {law|laws|legal|illegal|criminal|crime|court|judge|police|convicted|sentenced|arrested|charged|prosecuted|banned|report|reported|reporting|moderation|moderator|moderators|offensive|hateful|racist|bigoted|abusive|harassment|bullying|bullied|victim|victims|survivor}
      {wrong|ok|okay|unacceptable|offensive} to
      {condemn|condemned|condemns|denounce|denounced|oppose|opposes|people who|those who|anyone who|someone who|everyone who}
      {hitler|nazi|nazis|holocaust|genocide|isis|hamas|terrorists|extremists|propaganda|kkk|klan|history|historical}
      {wanted|want|wants|ordered|vowed|tried|attempted|attempting|plotted|plotting|planned|planning|trying} to
      {called|calling|calls} for
      {prevent|preventing|prevention|support|helpline|hotline|risk|afraid|worried|fear|scared}
      {classify|classification|translate|detect|detecting|explain why|example of|examples of|quote|quoted|quoting}
    `,
    negation: `
      {not|never|dont|do not|no|without|wont|cannot|cant|nobody|neither|nor|didnt|wouldnt|shouldnt|should not|stop|please dont|doesnt|isnt|refuse to}
      {instead of|rather than|before you|thoughts of|tempted to}
    `,
  },
  joins: [],
  exceptions: '',
}
