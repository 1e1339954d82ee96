//! A server that speaks as much of S3 as this store uses, and is as unreliable as it is told to be: it delays, repeats and loses.
//!
//! Called by tests of `s3`. It checks no signatures.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

/// What happens to a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fate {
    /// It is answered.
    Answered,
    /// It is carried out, and the connection ends.
    AnswerLost,
    /// It is carried out twice, and the second answer is sent.
    Repeated,
    /// The connection ends before it is carried out.
    Lost,
    /// It is answered with this status, and not carried out.
    Refused(u16),
    /// It is carried out after so many milliseconds, while others come.
    Delayed(u64),
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) objects: BTreeMap<String, Vec<u8>>,
    uploads: BTreeMap<String, BTreeMap<u32, Vec<u8>>>,
    /// How often each object was created or replaced.
    pub(super) n_writes: BTreeMap<String, u32>,
    /// Requests that came, and those that were carried out.
    pub(super) n_requests: usize,
    n_acts: usize,
    pub(super) ignores_conditions: bool,
}

type Fates = Box<dyn FnMut(&Request) -> Fate + Send>;

/// A server, which ends with the test's process.
#[derive(Clone)]
pub(super) struct Server {
    pub(super) address: SocketAddr,
    state: Arc<Mutex<State>>,
    fates: Arc<Mutex<Fates>>,
}

/// A request.
pub(super) struct Request {
    pub(super) method: String,
    /// Without the bucket.
    pub(super) key: String,
    query: BTreeMap<String, String>,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

struct Answer {
    status: u16,
    headers: String,
    body: Vec<u8>,
}

impl Server {
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self {
            address: listener.local_addr().unwrap(),
            state: Arc::default(),
            fates: Arc::new(Mutex::new(Box::new(|_| Fate::Answered))),
        };
        let served = server.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let served = served.clone();
                thread::spawn(move || served.serve(stream.unwrap()));
            }
        });
        server
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(super) fn decide(&self, fates: impl FnMut(&Request) -> Fate + Send + 'static) {
        *self.fates.lock().unwrap() = Box::new(fates);
    }

    fn serve(&self, mut stream: TcpStream) -> Option<()> {
        let request = read(&mut BufReader::new(stream.try_clone().ok()?))?;
        self.state().n_requests += 1;
        let fate = (self.fates.lock().unwrap())(&request);
        let act = || self.state().act(&request);
        let answer = match fate {
            Fate::Answered => act(),
            Fate::Lost => return None,
            Fate::AnswerLost => {
                act();
                return None;
            }
            Fate::Repeated => {
                act();
                act()
            }
            Fate::Refused(status) => Answer::of(status, "<Error><Code>Refused</Code></Error>"),
            Fate::Delayed(ms) => {
                thread::sleep(Duration::from_millis(ms));
                act()
            }
        };
        let Answer { status, headers, body } = answer;
        let len = if request.method == "HEAD" { String::new() } else { format!("content-length: {}\r\n", body.len()) };
        let head = format!("HTTP/1.1 {status} x\r\nconnection: close\r\n{headers}{len}\r\n");
        stream.write_all(head.as_bytes()).ok()?;
        stream.write_all(if request.method == "HEAD" { &[] } else { &body }).ok()
    }
}

fn read(reader: &mut impl BufRead) -> Option<Request> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let (method, rest) = line.split_once(' ')?;
    let target = rest.split(' ').next()?;
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let key = path.strip_prefix("/bucket").unwrap_or(path).trim_start_matches('/');
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decoded(name), decoded(value))
    };
    let query = query.split('&').filter(|text| !text.is_empty()).map(pair).collect();
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let len = headers.get("content-length").and_then(|len| len.parse().ok()).unwrap_or(0);
    let mut body = vec![0; len];
    reader.read_exact(&mut body).ok()?;
    Some(Request { method: method.to_owned(), key: decoded(key), query, headers, body })
}

/// Returns text without percent-encoding.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let digits = if byte == b'%' { rest.next().zip(rest.next()) } else { None };
        match digits {
            Some((high, low)) => {
                bytes.push(u8::from_str_radix(std::str::from_utf8(&[high, low]).unwrap(), 16).unwrap());
            }
            None => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).unwrap()
}

const TIME: &str = "last-modified: Wed, 01 Jul 2026 00:00:00 GMT\r\netag: \"e\"\r\n";

impl Answer {
    fn of(status: u16, body: &str) -> Self {
        Self { status, headers: TIME.to_owned(), body: body.as_bytes().to_vec() }
    }
}

impl State {
    fn act(&mut self, request: &Request) -> Answer {
        self.n_acts += 1;
        let of = |name: &str| request.query.get(name).map(String::as_str);
        match (request.method.as_str(), of("uploadId")) {
            ("PUT", Some(upload)) => {
                let number = of("partNumber").unwrap().parse().unwrap();
                self.uploads.entry(upload.to_owned()).or_default().insert(number, request.body.clone());
                Answer::of(200, "")
            }
            ("PUT", None) => self.put(request),
            ("POST", Some(upload)) => match self.uploads.remove(upload) {
                Some(pieces) => {
                    self.write(&request.key, pieces.into_values().flatten().collect());
                    Answer::of(200, "<CompleteMultipartUploadResult><ETag>e</ETag></CompleteMultipartUploadResult>")
                }
                None => Answer::of(404, "<Error><Code>NoSuchUpload</Code></Error>"),
            },
            ("POST", None) if request.query.contains_key("uploads") => {
                let id = format!("u{}", self.n_acts);
                let text =
                    format!("<InitiateMultipartUploadResult><UploadId>{id}</UploadId></InitiateMultipartUploadResult>");
                Answer::of(200, &text)
            }
            ("POST", None) => self.delete(&String::from_utf8(request.body.clone()).unwrap()),
            ("DELETE", Some(upload)) => {
                self.uploads.remove(upload);
                Answer::of(204, "")
            }
            ("GET", _) if request.key.is_empty() => self.list(of("prefix").unwrap_or("")),
            ("GET" | "HEAD", _) => self.get(request),
            (method, _) => panic!("{method} {}", request.key),
        }
    }

    fn put(&mut self, request: &Request) -> Answer {
        let is_conditional = request.headers.get("if-none-match").is_some_and(|value| value == "*");
        if is_conditional && !self.ignores_conditions && self.objects.contains_key(&request.key) {
            return Answer::of(412, "<Error><Code>PreconditionFailed</Code></Error>");
        }
        self.write(&request.key, request.body.clone());
        Answer::of(200, "")
    }

    fn write(&mut self, key: &str, bytes: Vec<u8>) {
        *self.n_writes.entry(key.to_owned()).or_default() += 1;
        self.objects.insert(key.to_owned(), bytes);
    }

    fn get(&self, request: &Request) -> Answer {
        let Some(bytes) = self.objects.get(&request.key) else {
            return Answer::of(404, "<Error><Code>NoSuchKey</Code></Error>");
        };
        let mut answer = Answer { status: 200, headers: TIME.to_owned(), body: bytes.clone() };
        if let Some(range) = request.headers.get("range") {
            let (start, end) = range.strip_prefix("bytes=").unwrap().split_once('-').unwrap();
            let (start, end): (usize, usize) = (start.parse().unwrap(), end.parse().unwrap());
            let end = end.min(bytes.len() - 1);
            answer.status = 206;
            answer.body = bytes[start..=end].to_vec();
            write!(answer.headers, "content-range: bytes {start}-{end}/{}\r\n", bytes.len()).unwrap();
        }
        if request.method == "HEAD" {
            write!(answer.headers, "content-length: {}\r\n", bytes.len()).unwrap();
        }
        answer
    }

    fn list(&self, prefix: &str) -> Answer {
        let mut text = "<ListBucketResult><IsTruncated>false</IsTruncated>".to_owned();
        for (key, bytes) in self.objects.iter().filter(|(key, _)| key.starts_with(prefix)) {
            let time = "2026-07-01T00:00:00.000Z";
            let (len, etag) = (bytes.len(), "e");
            let fields =
                format!("<Key>{key}</Key><LastModified>{time}</LastModified><ETag>{etag}</ETag><Size>{len}</Size>");
            write!(text, "<Contents>{fields}<StorageClass>STANDARD</StorageClass></Contents>").unwrap();
        }
        Answer::of(200, &(text + "</ListBucketResult>"))
    }

    fn delete(&mut self, body: &str) -> Answer {
        let mut text = "<DeleteResult>".to_owned();
        for key in body.split("<Key>").skip(1).filter_map(|rest| rest.split("</Key>").next()) {
            self.objects.remove(key);
            write!(text, "<Deleted><Key>{key}</Key></Deleted>").unwrap();
        }
        Answer::of(200, &(text + "</DeleteResult>"))
    }
}
