/**
 * Hate and attacks on groups of people. A slur decides alone only when it has no other meaning and no common use
 * among those it is aimed at; such words with another meaning or a reclaimed use are for a person to judge. A group's
 * name fires nothing: it takes a call for violence or a comparison with vermin beside it.
 */
import type { LexiconSource } from './entry.ts'

export const hate: LexiconSource = {
  entries: [
    {
      category: 'hate', rule: 'hate/slur', score: 0.9, mitigatedBy: ['report', 'negation'],
      phrases: `
        {sand|}{ |}nigger{s|}
        niggerish
        {porch|prairie|timber|house|jungle} {monkey{s|}|nigger{s|}}
        {jungle|porch} bunn{y|ies}
        jigaboo{s|}
        pickaninn{y|ies}
        {fucking|dirty|filthy|stupid|damn|goddamn|you} {faggot{s|}|kike{s|}|spic{s|}|chink{s|}|gook{s|}|wetback{s|}|paki{s|}|beaner{s|}|coon{s|}|dyke{s|}|tranny|trannies|raghead{s|}|retard{s|}}
        {fucking|dirty|filthy|greedy} {jew|yid|muzzie|gyppo|gypsy scum}
        faggot{s|}
        kike{s|}
        {towel|rag}{ |-|}head{s|}
        {camel|goat}{ |-|}{fucker|jockey}{s|}
        muzrat{s|}
        wetback{s|}
        zipperhead{s|}
        shitskin{s|}
        mudshark{s|}
        shemale{s|} {freak|scum}
      `,
    },
    {
      category: 'hate', rule: 'hate/ambiguous-slur', score: 0.6, mitigatedBy: [],
      phrases: `
        nigga{s|z|}
        n{*|-word }gger{s|}
        f*ggot{s|}
        {chink|gook|spic|spick|dago|wop|coon|darkie|darky|golliwog|injun|paki|beaner|gringo|honky|redskin|tranny|she-male|shemale|dyke|fag|homo|sodomite|retard|mongoloid|spastic|spaz|cripple|heeb|hymie|yid|gyppo|pikey|raghead|jap|chinaman|negro|negress|half-breed|mulatto}{s|}
        {libtard|feminazi|femoid|roastie|groid}{s|}
        {slant|slit}{ |-|}eye{d|s}
      `,
    },
    {
      category: 'hate', rule: 'hate/exterminate', score: 0.9, mitigatedBy: ['report', 'negation'],
      phrases: `
        gas the {jews|kikes}
        {hitler|the nazis} {was|were} right{| about {the |}{jews|them}}
        {jews|muslims|blacks|gays|immigrants} will not replace us
        race war now
        {death|burn} to {all |}{jews|muslims|blacks|gays|immigrants|christians|arabs|israelis|hindus|queers}
        final solution {to|for|of} the {jewish|muslim|black|immigrant|gypsy} {question|problem}
      `,
    },
    { category: 'hate', rule: 'hate/slogan', score: 0.6, mitigatedBy: [], phrases: '{sieg heil|heil hitler|white power|day of the rope|rahowa}' },
    { category: 'hate', rule: 'hate/call-for-violence', score: 0.9, mitigatedBy: ['report', 'negation'], first: 'attackAll', second: 'group', anyOrder: false, within: 2 },
    { category: 'hate', rule: 'hate/must-die', score: 0.9, mitigatedBy: ['report', 'negation'], first: 'group', second: 'mustDie', anyOrder: false, within: 6 },
    { category: 'hate', rule: 'hate/dehumanising', score: 0.85, mitigatedBy: ['report', 'negation'], first: 'group', second: 'vermin', anyOrder: false, within: 6 },
    { category: 'hate', rule: 'hate/contempt', score: 0.6, mitigatedBy: ['report', 'negation'], first: 'group', second: 'contempt', anyOrder: false, within: 6 },
    { category: 'hate', rule: 'hate/hatred', score: 0.6, mitigatedBy: ['report', 'negation'], first: 'hatred', second: 'group', anyOrder: false, within: 3 },
  ],
  parts: {
    group: `
      {jews|muslims|christians|hindus|sikhs|buddhists|atheists|arabs|blacks|africans|black people|whites|white people|asians|asian people|chinese people|mexicans|latinos|hispanics|immigrants|migrants|refugees|gays|gay people|homosexuals|lesbians|queers|trans people|transgender people|transgenders|disabled people|the disabled|women|indians|pakistanis|poles|gypsies|roma|romani|natives|native americans|aboriginals|somalis|syrians|palestinians|israelis|foreigners|black men|black women|muslim people|jewish people|females}
      {niggers|niggas|faggots|fags|kikes|spics|chinks|gooks|pakis|dykes|trannies|ragheads|wetbacks|beaners|coons}
    `,
    attackAll: `
      {kill|murder|shoot|hang|lynch|gas|exterminate|slaughter|behead|burn|execute|eradicate|wipe out|get rid of|cleanse|deport or kill|bomb|rape} {all|every|all {of |}{the|these|those}|the|these|those|more}
      {lynch|gas|exterminate|slaughter|behead|eradicate|genocide}
      death to {all|the|}
    `,
    mustDie: `
      {should|must|need to|have to|deserve to|ought to} {all |}{die|be {killed|shot|hanged|hung|exterminated|gassed|lynched|burned|burnt|eradicated|put down|wiped out|slaughtered|executed|sterilized|sterilised|raped|put in {camps|ovens}|thrown in {the |}{ovens|gas chambers}}}
      deserve {death|to be {killed|shot|raped|hanged|gassed}}
    `,
    vermin: `
      are {all |just |nothing but |like |fucking |literally |basically |}{vermin|subhuman|subhumans|sub-human|sub human|cockroaches|roaches|parasites|animals|savages|apes|monkeys|rats|pigs|dogs|filth|scum|a plague|a disease|a cancer|leeches|inbred|degenerates|less than human|not {human|people|even human}|worthless}
    `,
    contempt: 'are {all |just |so |naturally |genetically |}{inferior|stupid|dumb|disgusting|evil|criminals|terrorists|rapists|thieves|lazy|dirty|retarded}',
    hatred: `
      {i|we} {really |fucking |absolutely |just |all |}{hate|despise|detest|loathe|can't stand} {all |these |those |fucking |dirty |}
      fuck {all |the |these |}
    `,
  },
  joins: [],
  exceptions: `
    chink in {the|his|her|their|its|my|your|our} {armor|armour}
    chinks in {the|his|her|their|its|my|your|our} {armor|armour}
    {van|dick} dyke
    {dyke|fag} {break|end}
    homo {sapiens|erectus|habilis|ergaster|economicus|ludens|deus|neanderthalensis}
    maine coon{s|}
    {washington|spastic} {redskins|colitis|colon}
    flame retard{s|}
    rio negro
    jap{ |.|}tex
    {water|chicken|hot} {dogs|wings}
    are animals {and|or|in|that|with|which|too}
    cripple creek
    negro league{s|}
  `,
}
