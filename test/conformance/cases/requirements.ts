/**
 * Each sentence of RFC 9110 and RFC 9112 in which an intermediary or a recipient MUST do something: the cases that
 * show it, or why it does not bind this proxy (it keeps no cache, evaluates no conditions and parses no dates).
 */
export interface Requirement {
  section: string;
  must: string;
  /** Names of cases. */
  by?: readonly string[];
  /** Why no case shows it. */
  why?: string;
}

const NO_CACHE = 'no cache: conditional and range requests go on as they are';
const NO_DATES = 'no date is parsed: it goes on as it is';
const CLIENT = 'binds clients and servers, not a proxy';

export const requirements: readonly Requirement[] = [
  {
    section: '9110 2.3',
    must: 'parse lengths as long as those it generates',
    by: ['a Cache-Control of 60 KB goes on'],
  },
  { section: '9110 2.4', must: 'interpret elements by their definition', by: ['Connection does not go on'] },
  { section: '9110 4.2.1', must: 'reject an http URI with an empty host', by: ['a URL without a host is invalid'] },
  {
    section: '9110 4.2.2',
    must: 'reject an https URI with an empty host',
    by: ['an https URL must come through CONNECT'],
  },
  { section: '9110 5.1', must: 'forward unrecognized fields', by: ['unknown fields go on'] },
  {
    section: '9110 5.3',
    must: 'keep the order of fields of one name',
    by: ['fields of one name keep their order and stay apart', 'Set-Cookie fields stay apart and in order'],
  },
  {
    section: '9110 5.5',
    must: 'reject or replace CR, LF and NUL in values',
    by: ['NUL in a value is refused', 'a bare CR in a value is refused', 'a bare LF in a value is refused'],
  },
  {
    section: '9110 5.6.1.2',
    must: 'ignore a reasonable number of empty list members',
    by: ['empty members of Connection are ignored', '5,000 commas in X-Forwarded-For do no harm'],
  },
  { section: '9110 5.6.1.2', must: 'accept lists with empty members', by: ['empty members of Connection are ignored'] },
  {
    section: '9110 5.6.3',
    must: 'remove bad white space',
    why: 'it only occurs in chunk extensions here, where it is refused: readers differ on it',
  },
  { section: '9110 5.6.7', must: 'accept all three formats of dates', why: NO_DATES },
  {
    section: '9110 6.5.1',
    must: 'not merge trailers into the head',
    by: ['a chunked body with extensions and trailers', 'a trailer'],
  },
  {
    section: '9110 6.6.1',
    must: 'add Date to an answer without one',
    by: ['an answer without Date gets one', 'an odd Date stays as it is'],
  },
  { section: '9110 7.4', must: 'reject a misdirected request', why: CLIENT },
  {
    section: '9110 7.6',
    must: 'implement Connection',
    by: ['what Connection names does not go on', 'hop-by-hop fields of an answer stay here'],
  },
  {
    section: '9110 7.6',
    must: 'not forward to itself without end',
    by: ['a request that has come through this worker already is refused', 'a loop of CONNECT is found too'],
  },
  {
    section: '9110 7.6.2',
    must: 'answer when Max-Forwards is 0',
    by: [
      'OPTIONS with Max-Forwards 0 is answered here',
      'TRACE with Max-Forwards 0 is answered here, and tells no credentials',
    ],
  },
  {
    section: '9110 7.6.2',
    must: 'count Max-Forwards down',
    by: ['Max-Forwards of OPTIONS is counted down', 'Max-Forwards of TRACE is counted down'],
  },
  {
    section: '9110 7.6.3',
    must: 'send Via in each message that it forwards',
    by: [
      'Via is added behind that of others',
      'Via of an answer is added behind that of others',
      '103 goes on with its fields',
    ],
  },
  { section: '9110 7.6.3', must: 'send Via as a gateway', why: 'it is a proxy, not a gateway' },
  {
    section: '9110 7.7',
    must: 'not change a fully qualified host name',
    by: ['an absolute URL is sent on in origin-form', 'one dot at the end of the host is taken off'],
  },
  {
    section: '9110 7.7',
    must: 'not modify path and query',
    by: ['path and query go on byte for byte', 'percent-encoded octets stay as they are'],
  },
  {
    section: '9110 7.7',
    must: 'not transform content with no-transform',
    by: ['content that must not be transformed is not'],
  },
  { section: '9110 7.8', must: 'name Upgrade in Connection', by: ['an upgrade opens a tunnel'] },
  {
    section: '9110 8.6',
    must: 'send no Content-Length in a 2xx to CONNECT',
    by: ['CONNECT opens a tunnel, and nothing is sent into it'],
  },
  {
    section: '9110 8.6',
    must: 'be ready for large lengths',
    by: ['Content-Length "18446744073709551621" is refused', 'Content-Length "9007199254740993" is refused'],
  },
  {
    section: '9110 8.6',
    must: 'not forward a length that is known to be wrong',
    by: ['204 with a length loses it, and its connection is not used again'],
  },
  {
    section: '9110 8.6',
    must: 'not forward a length that is no number',
    by: ['Content-Length "5, 5" is refused', 'a list of lengths is 502'],
  },
  { section: '9110 9.2.2', must: 'not retry requests that are not idempotent', by: ['a POST never goes out twice'] },
  { section: '9110 9.3.6', must: 'have the port in CONNECT', by: ['the port must be named'] },
  {
    section: '9110 9.3.6',
    must: 'reject CONNECT with an empty or invalid port',
    by: ['an empty port is refused', 'port 0 is refused'],
  },
  {
    section: '9110 9.3.6',
    must: 'deliver what is outstanding when a side closes',
    by: ['a site that ends its side ends the answer only', 'a client that ends its side gets all that comes'],
  },
  {
    section: '9110 9.3.6',
    must: 'send no framing in a 2xx to CONNECT',
    by: ['CONNECT opens a tunnel, and nothing is sent into it'],
  },
  { section: '9110 9.3.6', must: 'ignore framing in a 2xx to CONNECT', why: CLIENT },
  { section: '9110 9.3.7', must: 'not make up Max-Forwards', by: ['no Max-Forwards is made up'] },
  {
    section: '9110 10.1.1',
    must: 'forward a request with 100-continue, or answer it',
    by: ['Expect goes on, and 100 comes back before the answer'],
  },
  { section: '9110 10.1.4', must: 'name TE in Connection', by: ['TE does not go on'] },
  { section: '9110 10.2.1', must: 'not modify Allow', by: ['Allow goes on as it is'] },
  { section: '9110 11.6.1', must: 'not modify WWW-Authenticate', by: ['WWW-Authenticate goes on as it is'] },
  { section: '9110 11.6.2', must: 'not modify Authorization', by: ['Authorization goes on as it is'] },
  {
    section: '9110 11.7.1',
    must: 'send Proxy-Authenticate in each 407',
    by: ['who has none is asked for them, and may try again at once', 'wrong credentials are asked for again'],
  },
  { section: '9110 12.5.5', must: 'not generate Vary: *', why: 'it generates no Vary' },
  { section: '9110 13.1.2', must: 'compare entity tags weakly', why: NO_CACHE },
  { section: '9110 13.1.3', must: 'ignore If-Modified-Since beside If-None-Match', why: NO_CACHE },
  { section: '9110 13.1.3', must: 'ignore an invalid If-Modified-Since', why: NO_CACHE },
  { section: '9110 13.1.3', must: 'ignore If-Modified-Since without a date of the resource', why: NO_CACHE },
  { section: '9110 13.1.3', must: "use the origin's clock for If-Modified-Since", why: NO_CACHE },
  { section: '9110 13.1.4', must: 'ignore If-Unmodified-Since beside If-Match', why: NO_CACHE },
  { section: '9110 13.1.4', must: 'ignore an invalid If-Unmodified-Since', why: NO_CACHE },
  { section: '9110 13.1.4', must: 'ignore If-Unmodified-Since without a date of the resource', why: NO_CACHE },
  { section: '9110 13.1.4', must: "use the origin's clock for If-Unmodified-Since", why: NO_CACHE },
  { section: '9110 13.1.5', must: 'ignore Range when If-Range is false', why: NO_CACHE },
  { section: '9110 13.2.1', must: 'evaluate preconditions as a cache or an origin', why: NO_CACHE },
  {
    section: '9110 13.2.1',
    must: 'not evaluate conditional fields, and forward them',
    by: ['conditional fields go on as they are'],
  },
  { section: '9110 13.2.1', must: 'ignore conditional fields of CONNECT, OPTIONS and TRACE', why: NO_CACHE },
  { section: '9110 13.2.2', must: 'evaluate preconditions in order', why: NO_CACHE },
  { section: '9110 14.4', must: 'not recombine parts of unknown units', why: NO_CACHE },
  { section: '9110 14.4', must: 'not recombine parts with an invalid Content-Range', why: NO_CACHE },
  {
    section: '9110 15.2',
    must: 'forward 1xx',
    by: ['100 goes on', '103 goes on with its fields', 'a 1xx that nobody knows goes on', 'several 1xx go on in order'],
  },
  { section: '9110 15.5.8', must: 'send a challenge in 407', by: ['a realm of our own is shown'] },
  { section: '9110 15.5.20', must: 'not generate 421', why: 'there is no such error in its table' },
  {
    section: '9112 2.2',
    must: 'parse messages as octets of a superset of US-ASCII',
    by: ['obs-text in a value goes on as it is', 'a body may hold any bytes'],
  },
  {
    section: '9112 2.2',
    must: 'refuse or replace a bare CR',
    by: ['a bare CR ahead of a line end is refused', 'a bare CR is 502'],
  },
  {
    section: '9112 2.2',
    must: 'refuse or skip white space before the first field',
    by: ['white space before the first field is refused', 'white space before the first field is 502'],
  },
  { section: '9112 3.2.1', must: 'send origin-form to an origin', by: ['an absolute URL is sent on in origin-form'] },
  { section: '9112 3.2.2', must: 'send absolute-form to a proxy', by: ['origin-form is told that this is a proxy'] },
  {
    section: '9112 3.2.2',
    must: 'send Host even with absolute-form',
    by: ['an HTTP/1.1 request without Host is refused'],
  },
  {
    section: '9112 3.2.2',
    must: 'replace Host by the host of the target',
    by: ['another Host is replaced by that of the target'],
  },
  {
    section: '9112 3.2.2',
    must: 'generate a new Host',
    by: ['a Host with another port is replaced', 'an HTTP/1.0 request needs no Host'],
  },
  { section: '9112 3.2.2', must: 'accept absolute-form', by: ['an absolute URL is sent on in origin-form'] },
  {
    section: '9112 3.2.3',
    must: 'send only host and port with CONNECT',
    by: ['an absolute URL is refused', 'a path is refused'],
  },
  {
    section: '9112 3.2.4',
    must: 'send "*" for OPTIONS with an empty path',
    by: ['OPTIONS for an empty path asks for "*"'],
  },
  { section: '9112 5.1', must: 'not forward white space before a colon', by: ['a space before a colon is 502'] },
  { section: '9112 5.2', must: 'discard an answer with obs-fold, or unfold it', by: ['an obs-fold is 502'] },
  { section: '9112 6.1', must: 'parse the chunked coding', by: ['several chunks', 'a chunked body'] },
  {
    section: '9112 6.1',
    must: 'send no Transfer-Encoding in a 2xx to CONNECT',
    by: ['CONNECT opens a tunnel, and nothing is sent into it'],
  },
  {
    section: '9112 6.3',
    must: 'remove Content-Length beside Transfer-Encoding, or refuse',
    by: ['a length with Transfer-Encoding is refused', 'a length with a coding is 502'],
  },
  {
    section: '9112 6.3',
    must: 'refuse an invalid Content-Length',
    by: ['Content-Length "-5" is refused', 'two different lengths are refused'],
  },
  {
    section: '9112 6.3',
    must: 'close the connection to the server and answer 502',
    by: ['two different lengths is 502', 'a negative length is 502'],
  },
  {
    section: '9112 6.3',
    must: 'treat a short message as incomplete',
    by: ['a body shorter than its length is cut', 'a client that stops inside a body leaves no whole request behind'],
  },
  {
    section: '9112 6.3',
    must: 'not forward extra data as another answer',
    by: ['a second answer to one request reaches nobody', 'bytes behind an answer reach nobody'],
  },
  {
    section: '9112 7.1',
    must: 'decode the chunked coding',
    by: ['an HTTP/1.0 client gets a chunked body without its framing'],
  },
  { section: '9112 7.1.1', must: 'ignore unknown chunk extensions', by: ['a chunk extension with a value'] },
  {
    section: '9112 7.1.2',
    must: 'keep trailers apart from the head',
    by: ['a chunked body with extensions and trailers'],
  },
  {
    section: '9112 7.1.2',
    must: 'not merge trailers',
    by: ['a trailer that changes the length', 'a trailer that sets a cookie is cut'],
  },
  {
    section: '9112 9.3',
    must: 'keep no connection with an HTTP/1.0 client',
    by: ['an HTTP/1.0 client gets a connection of one request'],
  },
  {
    section: '9112 10.1',
    must: 'unfold message/http when it is consumed',
    why: 'message/http is content like any other, and not consumed',
  },
];
