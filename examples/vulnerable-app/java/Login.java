import java.io.ObjectInputStream;
import java.security.MessageDigest;
import java.sql.PreparedStatement;
import java.sql.Statement;
import javax.crypto.Cipher;
import javax.servlet.http.HttpServletRequest;

class Login {
    private static final String PASSWORD = "Winter2023#";

    void find(Statement statement, HttpServletRequest request) throws Exception {
        String name = request.getParameter("name");
        statement.executeQuery("SELECT * FROM users WHERE name = '" + name + "'");
        Runtime.getRuntime().exec("finger " + name);
        Runtime.getRuntime().exec("uptime");
    }

    void safe(PreparedStatement statement, String name) throws Exception {
        statement.setString(1, name);
        statement.executeQuery();
    }

    Object read(HttpServletRequest request) throws Exception {
        MessageDigest.getInstance("MD5");
        MessageDigest.getInstance("SHA-256");
        Cipher.getInstance("DES/ECB/PKCS5Padding");
        return new ObjectInputStream(request.getInputStream()).readObject();
    }
}
